package console

import (
	"errors"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/admin"
)

func sample() *admin.Status {
	lag := 0.5
	return &admin.Status{
		Name: "proxy_a", Version: "v1", Commit: "abc", Ready: true, StartedAt: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC),
		Store:    admin.Store{Timeline: 2, Received: 0x3000200},
		Warnings: []string{"one", "two"},
		Standbys: []admin.Standby{{PID: 7, ApplicationName: "s1", Sent: 0x3000100, FlushLag: &lag}, {PID: 8}},
	}
}

// cell is the value in a row, by the column's name, with NULL as "∅".
func cell(t *testing.T, table Table, row int, column string) string {
	t.Helper()
	for i, c := range table.Columns {
		if c == column {
			if v := table.Rows[row][i]; v != nil {
				return *v
			}
			return "∅"
		}
	}
	t.Fatalf("no column %q in %v", column, table.Columns)
	return ""
}

func TestAnswer(t *testing.T) {
	standbys, err := Answer(" show  Standbys ;\n", sample())
	if err != nil || len(standbys.Rows) != 2 || standbys.Tag != "SHOW" {
		t.Fatalf("%+v, %v", standbys, err)
	}
	for column, want := range map[string]string{
		"pid": "7", "application_name": "s1", "sent_lsn": "0/3000100", "flush_lag": "0.5", "write_lag": "∅", "client_addr": "∅",
	} {
		if got := cell(t, standbys, 0, column); got != want {
			t.Errorf("%s: %q, want %q", column, got, want)
		}
	}
	status, err := Answer("SHOW STATUS", sample())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i := range status.Rows {
		got[cell(t, status, i, "name")] = cell(t, status, i, "value")
	}
	for name, want := range map[string]string{
		"name": "proxy_a", "ready": "t", "stopping": "f", "started_at": "2026-08-01 12:00:00.000000+00", "warnings": "one\ntwo",
		"store.received_lsn": "0/3000200", "store.timeline": "2", "store.oldest_lsn": "∅",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	version, _ := Answer("SHOW VERSION", sample())
	if got := cell(t, version, 0, "version"); got != "replproxy v1 (abc)" {
		t.Error(got)
	}
	if empty, err := Answer(" ; ", sample()); err != nil || empty.Columns != nil {
		t.Errorf("%+v, %v", empty, err)
	}
}

func TestEveryCommandAnswers(t *testing.T) {
	list, err := Answer("help", sample())
	if err != nil || len(list.Rows) != len(commands) {
		t.Fatalf("%+v, %v", list, err)
	}
	for i := range list.Rows {
		table, err := Answer(cell(t, list, i, "command")+";", sample())
		if err != nil || len(table.Columns) == 0 || table.Tag == "" {
			t.Errorf("%s: %+v, %v", cell(t, list, i, "command"), table, err)
		}
		for _, row := range table.Rows {
			if len(row) != len(table.Columns) {
				t.Errorf("%v for %v", row, table.Columns)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for query, want := range map[string]pgerror.Code{
		"SHOW wal_level": pgerror.UndefinedObject, "SELECT 1": pgerror.SyntaxError, "SHOW STATUS; SHOW SLOTS": pgerror.SyntaxError,
		"SHOW": pgerror.SyntaxError,
	} {
		_, err := Answer(query, sample())
		var e *pgerror.Error
		if !errors.As(err, &e) || e.Code != want || e.Hint == "" {
			t.Errorf("%s: %v", query, err)
		}
	}
}
