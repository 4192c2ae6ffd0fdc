package trace_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/trace"
)

// What is written is what was read, so that a recording shows as a diff of answers only.
func TestFilesAreAsWritten(t *testing.T) {
	for _, name := range subjects() {
		f, err := trace.Read(path(name))
		if err != nil {
			t.Fatal(err)
		}
		again := filepath.Join(t.TempDir(), "again")
		if err := f.Write(again); err != nil {
			t.Fatal(err)
		}
		want, err1 := os.ReadFile(path(name))
		got, err2 := os.ReadFile(again)
		if err1 != nil || err2 != nil || string(got) != string(want) {
			t.Errorf("%s is written otherwise (%v, %v)", path(name), err1, err2)
		}
		names := map[string]bool{}
		for _, e := range f.Exchanges {
			if names[e.Name] || len(e.Steps) == 0 {
				t.Errorf("%s: %q stands twice or has no step", path(name), e.Name)
			}
			names[e.Name] = true
		}
	}
}

func TestRead(t *testing.T) {
	read := func(content string) (*trace.File, error) {
		file := filepath.Join(t.TempDir(), "a.trace")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return trace.Read(file)
	}
	f, err := read("# head\nservers 14.1 15.2\n== one\n# why\n> Q a\n    C a\n> Q b\n  14:\n    E b\n  15:\n    C b\n    Z I\n")
	if err != nil || !f.Recorded("15.2") || f.Recorded("15.20") {
		t.Fatalf("%+v, %v", f, err)
	}
	want := &trace.Exchange{Name: "one", Comment: []string{"# why"}, Steps: []*trace.Step{
		{Text: "> Q a", Answers: map[int][]string{14: {"C a"}, 15: {"C a"}}},
		{Text: "> Q b", Answers: map[int][]string{14: {"E b"}, 15: {"C b", "Z I"}}},
	}}
	if !reflect.DeepEqual(f.Exchanges, []*trace.Exchange{want}) {
		t.Errorf("%+v", f.Exchanges[0].Steps)
	}
	for bad, at := range map[string]string{
		"> Q a\n": ":1:", "== one\n    C a\n": ":2:", "== one\n> Q a\n  x:\n": ":3:",
	} {
		if _, err := read(bad); err == nil || !strings.Contains(err.Error(), at) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A deviation changes the lines that it names and is then no longer unmet.
func TestDeviations(t *testing.T) {
	d := trace.DeviationsOf(14)
	before := len(d.Unmet())
	got := d.Apply("slots", "all slots are in use", [][]string{{"E S ERROR | V ERROR | C 42704 | M x", "Z I"}, nil})
	want := [][]string{{"C DROP_REPLICATION_SLOT", "Z I"}, nil}
	if !reflect.DeepEqual(got, want) || len(d.Unmet()) != before-1 {
		t.Errorf("%q, %d of %d unmet", got, len(d.Unmet()), before)
	}
	same := [][]string{{"E S ERROR | V ERROR | C 42704 | M x"}}
	if got := d.Apply("slots", "names", same); !reflect.DeepEqual(got, same) {
		t.Errorf("%q", got)
	}
}
