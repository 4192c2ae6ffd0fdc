package sql_test

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/proxy/console/datum"
	"github.com/replproxy/replproxy/proxy/console/sql"
)

// still is a world that asks nobody.
func still() *sql.World {
	tables := snapshot()
	return &sql.World{
		Columns: func(name string) []sql.Column { return tables[name].columns },
		Rows:    func(name string) [][]datum.Value { return tables[name].rows },
		Call: func(name string) (datum.Type, datum.Value, bool) {
			return datum.Bool, false, name == "pg_is_in_recovery"
		},
		Setting: func(name string) (string, bool) { return "15.1", name == "server_version" },
		Now:     time.Date(2026, 8, 2, 0, 0, 0, 0, time.UTC), Zone: time.UTC, Major: 15,
	}
}

func TestParseSplits(t *testing.T) {
	all, err := sql.Parse("; SELECT 'a;b' ;; -- nothing\n SET x = 1; select\"x\"")
	if err != nil || len(all) != 3 || !all[0].Select || all[1].Select || !all[2].Select || len(all[1].Words) != 5 {
		t.Errorf("%+v, %v", all, err)
	}
	if all, err := sql.Parse(" ; /* */ ;"); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	// One wrong statement, and none is run.
	if _, err := sql.Parse("SELECT 1; SELECT FROM"); !pgerror.HasCode(err, pgerror.FeatureNotSupported) {
		t.Error(err)
	}
	if _, err := sql.Parse("SELECT 1; SELECT ä +"); err == nil || pgerror.From(err).Position != 21 {
		t.Errorf("%v: positions count characters of the whole query", err)
	}
}

// TestTimeZones: times are shown in the session's zone. What a change of the clock would decide is refused.
func TestTimeZones(t *testing.T) {
	w := still()
	zone, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	w.Zone = zone
	_, rows, refused := answer(w, statement{query: "SELECT backend_start, backend_start::text FROM pg_stat_replication WHERE pid = 101"}, 0)
	if refused != nil || string(rows[0][0]) != "2026-08-01 18:30:00.5+05:30" || string(rows[0][1]) != string(rows[0][0]) {
		t.Errorf("%q, %v", rows, refused)
	}
	for _, query := range []string{"SELECT now() + interval '1 day'", "SELECT now() > '2026-01-01 00:00'"} {
		if _, _, refused := answer(w, statement{query: query}, 0); !pgerror.HasCode(refused, pgerror.FeatureNotSupported) {
			t.Errorf("%s: %v", query, refused)
		}
	}
}

// TestDepth: an expression that nests deeper than anybody writes is refused.
func TestDepth(t *testing.T) {
	query := "SELECT "
	for range 1001 {
		query += "("
	}
	if _, err := sql.Parse(query + "1"); !pgerror.HasCode(err, pgerror.StatementTooComplex) {
		t.Error(err)
	}
}

// FuzzQuery: whatever is asked, there is an answer whose rows fit its columns in both formats, or an error of
// PostgreSQL's kind.
func FuzzQuery(f *testing.F) {
	for _, s := range statements(f) {
		f.Add(s.query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		w := still()
		all, err := sql.Parse(query)
		if err != nil {
			if e := pgerror.From(err); e.Unwrap() != nil || e.Position < 0 {
				t.Fatalf("%v at %d", err, e.Position)
			}
			return
		}
		for _, s := range all {
			if !s.Select {
				continue
			}
			q, err := sql.Prepare(s, w, nil)
			if err != nil {
				continue
			}
			rows, err := q.Run(w, make([]datum.Value, len(q.Parameters)))
			if err != nil {
				if pgerror.From(err).Unwrap() != nil {
					t.Fatal(err)
				}
				continue
			}
			for _, r := range rows {
				if len(r) != len(q.Columns) {
					t.Fatalf("%v for %v", r, q.Columns)
				}
				for i, v := range r {
					if v == nil {
						continue
					}
					typ := q.Columns[i].Type
					text := datum.Format(typ, v, time.UTC)
					back, err := datum.ParseBinary(typ, datum.AppendBinary(nil, typ, v))
					if !pgerror.HasCode(err, pgerror.FeatureNotSupported) && (err != nil || datum.Format(typ, back, time.UTC) != text) {
						t.Fatalf("%s %s came back as %v, %v", typ, text, back, err)
					}
				}
			}
		}
	})
}
