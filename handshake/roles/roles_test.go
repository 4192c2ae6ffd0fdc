package roles

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/handshake/upstream"
)

// goodSecret is a verifier of no password.
var goodSecret = func() string {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	return "SCRAM-SHA-256$4096:" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef")) + "$" + key + ":" + key
}()

func TestUsersFile(t *testing.T) {
	text := strings.ReplaceAll(`# comment
; another

"app" "S"
  "stand""by"  "S"   replication superuser
"off" "S" nologin valid_until=2027-01-01T00:00:00Z
`, `"S"`, `"`+goodSecret+`"`)
	got, err := parseFile([]byte(text))
	want := map[string]Role{
		"app":      {Name: "app", Secret: Secret(goodSecret), Login: true},
		`stand"by`: {Name: `stand"by`, Secret: Secret(goodSecret), Login: true, Replication: true, Superuser: true},
		"off":      {Name: "off", Secret: Secret(goodSecret), ValidUntil: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for line, part := range map[string]string{
		`app "x"`: "expected", `"app`: "expected", `"app" x`: "expected", `"app" "plain-secret"`: "no SCRAM-SHA-256 verifier",
		`"app" "md5plain-secret"`: "no SCRAM-SHA-256 verifier", `"" "` + goodSecret + `"`: "a name has",
		`"` + strings.Repeat("n", 64) + `" "` + goodSecret + `"`: "a name has",
		`"a" "` + goodSecret + `" plain-secret`:                  "none of", `"a" "` + goodSecret + `" valid_until=tomorrow`: "no time",
		"\"a\" \"" + goodSecret + "\"\n\"a\" \"" + goodSecret + "\"": "twice",
	} {
		if _, err := parseFile([]byte("# first\n" + line)); err == nil || !strings.Contains(err.Error(), part) ||
			!strings.Contains(err.Error(), "line ") || strings.Contains(err.Error(), "plain-secret") || strings.Contains(err.Error(), "SCRAM-SHA-256$4096") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func FuzzUsersFile(f *testing.F) {
	f.Add([]byte(`"app" "` + goodSecret + `" replication valid_until=2027-01-01T00:00:00Z`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parseFile(b)
		for name, r := range all {
			if _, why := (Found{Role: r, Known: true, Certain: true}).Verifier(time.Time{}); name != r.Name || name == "" || why != "" || err != nil {
				t.Fatalf("%q: %+v, %s, %v", name, r, why, err)
			}
		}
	})
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"infinity": {}, "-infinity": ended, "0044-03-15 00:00:00+00 BC": ended, "294276-12-31 23:59:59+00": {},
		"0001-01-01 00:00:00+00": ended, "2026-11-28 17:00:00.25+00": time.Date(2026, 11, 28, 17, 0, 0, 250_000_000, time.UTC),
	} {
		if got, err := parseTime(text); err != nil || !got.Equal(want) || got.IsZero() != want.IsZero() {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "28.11.2026 17:00:00 UTC"} {
		if _, err := parseTime(text); !errors.Is(err, errAnswer) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAnswersOfTheQuery(t *testing.T) {
	res := upstream.Result{Columns: []string{"x", "rolsuper", "rolvaliduntil", "rolpassword", "rolcanlogin", "rolreplication"},
		Rows: [][][]byte{{nil, []byte("f"), nil, []byte("s"), []byte("t"), []byte("t")}}}
	r, known, err := roleOf("a", res)
	if err != nil || !known || r != (Role{Name: "a", Secret: "s", Login: true, Replication: true}) {
		t.Fatalf("%+v, %v, %v", r, known, err)
	}
	none := res
	none.Rows = nil
	if _, known, err := roleOf("a", none); known || err != nil {
		t.Errorf("no row: %v, %v", known, err)
	}
	two := res
	two.Rows = append(two.Rows, two.Rows[0])
	few := res
	few.Columns = []string{"rolname", "rolpassword"}
	odd := res
	odd.Rows = [][][]byte{{nil, []byte("yes"), nil, nil, []byte("t"), []byte("t")}}
	null := res
	null.Rows = [][][]byte{{nil, nil, nil, nil, []byte("t"), []byte("t")}}
	long := res
	long.Rows = [][][]byte{{nil, []byte("f"), nil, bytes.Repeat([]byte("x"), 600), []byte("t"), []byte("t")}}
	short := res
	short.Rows = [][][]byte{{nil}}
	for name, bad := range map[string]upstream.Result{"two rows": two, "few columns": few, "no boolean": odd, "null": null, "long": long, "short row": short} {
		if _, known, err := roleOf("a", bad); known || !errors.Is(err, errAnswer) {
			t.Errorf("%s: %v, %v", name, known, err)
		}
	}
}

func quiet(dir string) Options {
	return Options{Dir: dir, TTL: time.Minute, MaxAge: time.Hour, Logger: slog.New(slog.DiscardHandler),
		Shown: func() (map[string]string, map[string]string) { return nil, nil }}
}

// What is kept comes back, unless it is too old or damaged; the secret of unknown roles stays the same.
func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "auth")
	o := quiet(dir)
	o.Shown = func() (map[string]string, map[string]string) {
		return map[string]string{"server_version": "17.2"}, map[string]string{"wal_segment_size": "16MB"}
	}
	k, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	k.cache.learn("a", Role{Name: "a", Secret: Secret(goodSecret), Login: true, ValidUntil: t0}, true, time.Now())
	k.cache.learn("stale", Role{Name: "stale"}, true, time.Now().Add(-2*time.Hour))
	k.iterations = 5000
	k.save(false)
	for _, name := range []string{rolesFile, mockFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != 0o600 {
			t.Fatal(info.Mode(), err)
		}
	}
	again, err := Open(quiet(dir))
	if err != nil {
		t.Fatal(err)
	}
	f, fresh, usable := again.cache.look("a", time.Now())
	if !fresh || !usable || f.Role != (Role{Name: "a", Secret: Secret(goodSecret), Login: true, ValidUntil: t0}) {
		t.Errorf("%+v, %v, %v", f, fresh, usable)
	}
	if _, _, usable := again.cache.look("stale", time.Now()); usable || len(again.cache.entries) != 1 {
		t.Error("what is too old came back")
	}
	parameters, settings := again.Shown()
	if parameters["server_version"] != "17.2" || settings["wal_segment_size"] != "16MB" {
		t.Error(parameters, settings)
	}
	if a, b := k.Mock("x"), again.Mock("x"); !bytes.Equal(a.Salt, b.Salt) || b.Iterations != 5000 {
		t.Error("an unknown role looks different after a restart")
	}

	path := filepath.Join(dir, rolesFile)
	content, _ := os.ReadFile(path)
	for name, spoil := range map[string]func(){
		"a bit":         func() { content[len(content)/2] ^= 1; write0(t, path, content); content[len(content)/2] ^= 1 },
		"cut off":       func() { write0(t, path, content[:len(content)-9]) },
		"empty":         func() { write0(t, path, nil) },
		"other version": func() { write0(t, path, bytes.Replace(content, []byte("auth-1"), []byte("auth-2"), 1)) },
		"for all to read": func() {
			write0(t, path, content)
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		spoil()
		var said bytes.Buffer
		o := quiet(dir)
		o.Logger = slog.New(slog.NewTextHandler(&said, nil))
		k, err := Open(o)
		if err != nil || len(k.cache.entries) != 0 || !strings.Contains(said.String(), "cannot be used") || strings.Contains(said.String(), "SCRAM") {
			t.Errorf("%s: %v, %d entries, %s", name, err, len(k.cache.entries), said.String())
		}
	}
}

func write0(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := encode(kept{Roles: []entry{{Role: Role{Name: "a"}}}, Iterations: 1})
	f.Add(b)
	f.Add([]byte(format + " \n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decode(b)
		if err != nil && (!errors.Is(err, errDamaged) || k.Roles != nil) {
			t.Fatal(err)
		}
	})
}

// A users file that changes is read again; one that cannot be used changes nothing.
func TestUsersFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	o := quiet(filepath.Join(t.TempDir(), "auth"))
	o.File = path
	if _, err := Open(o); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	line := func(name string) []byte { return fmt.Appendf(nil, "%q %q\n", name, goodSecret) }
	write0(t, path, line("first"))
	k, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	is := func(name string, want bool) {
		t.Helper()
		if f := k.Find(t.Context(), name); f.Known != want || !f.Certain || f.FromPrimary {
			t.Errorf("%s: %+v", name, f)
		}
	}
	is("first", true)
	is("second", false)
	write0(t, path, line("second one"))
	is("first", false)
	is("second one", true)
	write0(t, path, []byte("nonsense"))
	is("second one", true)
	if s := k.Status(); s.FileError == "" || s.InFile != 1 {
		t.Errorf("%+v", s)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	is("second one", true)
	write0(t, path, line("third"))
	is("third", true)
	if s := k.Status(); s.FileError != "" {
		t.Errorf("%+v", s)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	r := Role{Name: "a", Secret: "hush"}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "role", r, "secret", r.Secret)
	text := b.String() + fmt.Sprintf("%v %+v %#v %s %q %x", r, r, r, r.Secret, r.Secret, r.Secret)
	if strings.Contains(text, "hush") || strings.Contains(text, fmt.Sprintf("%x", "hush")) || !strings.Contains(text, "********") {
		t.Error(text)
	}
}
