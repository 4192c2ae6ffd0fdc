package console

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

var update = flag.Bool("update", false, "record columns.txt anew from PostgreSQL 14 to 18")

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestColumns: the views have the columns and types that servers of each major version give theirs.
func TestColumns(t *testing.T) {
	found := map[int]string{}
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		server := in.Primary(t)
		var b strings.Builder
		for _, view := range slices.Sorted(maps.Keys(views())) {
			fmt.Fprintf(&b, "%d %s", in.Major, view)
			for _, row := range server.SQL(t, "SELECT attname, atttypid FROM pg_attribute WHERE attnum > 0 AND "+
				"attrelid = 'pg_catalog."+view+"'::regclass ORDER BY attnum") {
				fmt.Fprintf(&b, " %s:%s", row[0], row[1])
			}
			b.WriteString("\n")
		}
		found[in.Major] = b.String()
		if !*update && !strings.Contains(recorded, b.String()) {
			t.Errorf("columns.txt does not have these lines: record it anew by go test ./proxy/console -run TestColumns -update\n%s", b.String())
		}
	})
	if *update {
		text := ""
		for _, major := range slices.Sorted(maps.Keys(found)) {
			text += found[major]
		}
		if err := os.WriteFile("columns.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryColumnIsHad: each column has a type that the console can show, and each value stands in a column of some
// version.
func TestEveryColumnIsHad(t *testing.T) {
	x := sample()
	for view, fill := range views() {
		known := map[string]bool{}
		for _, major := range pgtest.Majors() {
			columns := viewColumns(view, major)
			if len(columns) < 5 {
				t.Errorf("%s of %d has %d columns", view, major, len(columns))
			}
			for _, c := range columns {
				known[c.Name] = true
				if !c.Type.Known() {
					t.Errorf("%s.%s of %d is of a type that is not known: %d", view, c.Name, major, c.Type)
				}
			}
		}
		rows := fill(x)
		if len(rows) == 0 {
			t.Errorf("%s has no row", view)
		}
		for _, r := range rows {
			for name := range r {
				if !known[name] {
					t.Errorf("%s has no column %s", view, name)
				}
			}
		}
	}
	// Versions that are not recorded are as the nearest one that is.
	for _, c := range []struct{ major, as int }{{13, 14}, {19, 18}, {0, 14}} {
		if !slices.Equal(viewColumns("pg_replication_slots", c.major), viewColumns("pg_replication_slots", c.as)) {
			t.Errorf("%d is not as %d", c.major, c.as)
		}
	}
	if len(list([]admin.Standby{{}}).columns) < 15 {
		t.Error("the list of standbys lacks columns")
	}
}
