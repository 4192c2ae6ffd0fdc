package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden error files")

// TestErrorsGolden: each testdata/errors/*.yml is a broken file, the .txt beside it is what the
// operator sees.
func TestErrorsGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.yml")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d broken files: %v", len(files), err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, err = loadText(t, string(content))
		if err == nil {
			t.Errorf("%s: accepted", f)
			continue
		}
		golden := strings.TrimSuffix(f, ".yml") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, _ := os.ReadFile(golden)
		if got := err.Error() + "\n"; got != string(want) {
			t.Errorf("%s:\n--- got\n%s--- want\n%s", f, got, want)
		}
	}
}

func TestFlagErrors(t *testing.T) {
	for _, c := range []struct {
		flag, value, want string
	}{
		{"listen", "nonsense", `--listen: "nonsense" is not host:port`},
		{"listen", "unix:relative", "by its absolute path"},
		{"listen", ":99999", "no port from 0 to 65535"},
		{"http", "x", `--http: "x" is not host:port`},
		{"data-dir", "", "--data-dir: is empty"},
		{"name", "", "--name: is empty"},
		{"name", "prøxy", "use printable ASCII"},
		{"name", strings.Repeat("n", 64), "has 64 bytes; PostgreSQL keeps 63"},
		{"log-level", "loud", "--log-level: \"loud\" is not one of debug, info, warn, error"},
		{"log-format", "xml", "is not one of text, json"},
		{"nope", "x", "--nope: unknown flag"},
	} {
		_, err := Load("", append([]Override{{c.flag, []string{c.value}}}, upstream...))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("--%s %s: %v", c.flag, c.value, err)
		}
	}
	if _, err := Load("", nil); err == nil || !strings.Contains(err.Error(), "upstream.conninfo: is not set") {
		t.Errorf("no upstream: %v", err)
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"host=a password=geheim user=b":       "host=a password=*** user=b",
		"password = 'a b\\' c' user=b":        "password = *** user=b",
		"postgresql://u:p@ss@host/db":         "postgresql://u:***@host/db",
		"postgresql://u@host:5432/db":         "postgresql://u@host:5432/db",
		"postgres://host/db?password=x&user=": "postgres://host/db?password=***&user=",
		"sslpassword=x":                       "sslpassword=***",
		"host=a user=b":                       "host=a user=b",

		// However it is quoted, or badly quoted, nothing of it is left.
		"password='geheim user=b":          "password=***",
		"password=ge'heim user=b":          "password=***",
		`password=ge\ heim user=b`:         "password=***",
		`conninfo: "password=geheim"`:      `conninfo: "password=***"`,
		`conninfo: "password='ge im'"`:     `conninfo: "password=***"`,
		`"password=\"geheim\""`:            `"password=***`,
		`{conninfo: 'password=geheim'}`:    `{conninfo: 'password=***'}`,
		`{conninfo: 'password=''geh'''}`:   `{conninfo: 'password=***`,
		"postgresql://u:ge heim@host/db":   "postgresql://u:***@host/db",
		"postgresql://u:geheim/db":         "postgresql://u:***",
		"postgresql://u:1geheim@h":         "postgresql://u:***@h",
		"postgresql://h1:1,h2:2/db":        "postgresql://h1:1,h2:2/db",
		"postgresql://h1:,h2:2/db":         "postgresql://h1:,h2:2/db",
		"  password: geheim geheim":        "  password: ***",
		`  PGPASSWORD: "geheim"`:           `  PGPASSWORD: ***`,
		"http_token: geheim":               "http_token: ***",
		"{gossip_key: geheim, a: b}":       "{gossip_key: ***",
		`"app" "SCRAM-SHA-256$4096:a$b:c"`: `"app" "SCRAM-SHA-256$***`,
		"key_file: /etc/key":               "key_file: /etc/key",
		"http_token_file: /etc/token":      "http_token_file: /etc/token",
		"passfile=/etc/pgpass user=b":      "passfile=/etc/pgpass user=b",
		"password=my geheim":               "password=***",
		`{conninfo: "password=my", a: b}`:  `{conninfo: "password=***", a: b}`,
		`{conninfo: "password=my" , a: b}`: `{conninfo: "password=***" , a: b}`,
		"password=a password=b":            "password=*** password=***",
		"password=":                        "password=",
	} {
		if got := Redact(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// FuzzParse: any file is a configuration or an error with words, never a panic.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"testdata/errors/*.yml", reference} {
		files, _ := filepath.Glob(dir)
		for _, name := range files {
			content, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		d, errs := parse("f.yml", content)
		if len(errs) > 0 {
			if errs.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		c, err := load(d, upstream)
		if (c == nil) == (err == nil) {
			t.Errorf("config %v, error %v", c, err)
		}
	})
}

// TestNoSecretIsQuoted: in the broken files a secret is always the same word, and no error has it.
func TestNoSecretIsQuoted(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/secret*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil || strings.Contains(string(content), "geheim") || strings.Contains(string(content), "wort") {
			t.Errorf("%s: %v\n%s", f, err, content)
		}
	}
}
