package config

import (
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// other is a value of every key that is built and not its default.
var other = map[string]string{
	"name": "b", "listen": "127.0.0.1:9", "http": "127.0.0.1:10", "http_cert_file": "/x", "http_key_file": "/x",
	"tcp_keepalives_idle": "60s", "tcp_keepalives_interval": "10s", "tcp_keepalives_count": "6", "tcp_user_timeout": "5s",
	"http_token_file": "/x", "http_hosts": "x", "ready_when": "rule", "data_dir": "/x", "log_level": "debug",
	"log_format": "json", "upstream.conninfo": "host=db2 password=geheim", "upstream.slot": "x",
	"upstream.via": "cluster", "upstream.connect_wait": "1s", "upstream.leave_old_primary": "end", "wal.keep_size": "64MB", "wal.max_slot_wal_keep_size": "1GB", "wal.min_free": "5%",
	"wal.retain_until_standbys": "2",
	"wal.report":                "written",
	"wal.restore_command":       "cp %f %p", "slots.auto_create": "true", "slots.idle_timeout": "1h", "slots.adopted": "keep",
	"slots.promoted": "keep", "slots.mirror": "presence", "slots.rule_gate": "gate", "feedback.max_age": "7", "feedback.settle": "1s", "auth.max_upstream_walsenders": "3",
	"synchronous_standby_names": "ANY 1 (s1)", "cluster.bind": ":7946", "cluster.advertise": "10.0.0.1:7946",
	"synchronous_standby_zones.rule": "ANY 1 (*)", "synchronous_standby_zones.zones": "east\x00s1",
	"standbys": "report_*\x00send_when\x00covered",
	"tls.mode": "require", "tls.cert_file": "/x", "tls.key_file": "/x", "tls.client_ca_file": "/x",
	"tls.crl_file": "/x", "tls.crl_dir": "/x", "tls.min_protocol_version": "TLSv1.3",
	"tls.clientcert": "verify-full", "tls.clientname": "dn",
	"access": "local all all relay", "listen.access": "unix:/x\x00local all all reject",
	"auth.method": "scram", "auth.query": "SELECT 1", "auth.users_file": "/x", "auth.cache_ttl": "1s", "auth.cache_max_age": "1h", "auth.delay": "1s", "voters": "s1 role s1",
	"limits.max_connections": "7", "limits.max_connections_per_address": "7", "limits.max_logins": "7",
	"limits.authentication_timeout": "7s",
	"upstream.receiver_timeout":     "30s",
	"cluster.join":                  "db2:7946", "cluster.key_file": "/x", "cluster.members": "b ed25519:x",
}

// TestReloadOfEveryKey changes one key at a time: a live one takes its new value, of another the running
// value stays and the change is pending, and nothing else moves.
func TestReloadOfEveryKey(t *testing.T) {
	running, err := loadText(t, "name: a")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		value, ok := other[k.path]
		if !ok {
			t.Errorf("%s has no value in this test", k.id())
			continue
		}
		read := *running
		if err := k.of(&read).set([]string{value}); err != nil {
			t.Errorf("%s: %v", k.id(), err)
			continue
		}
		before := *running
		next, applied, pending := Reload(running, &read)
		change := []Change{{k.id(), Redact(k.of(running).get()), Redact(k.of(&read).get())}}
		want := &read
		if !k.live {
			want, applied, pending = running, pending, applied
		}
		if !reflect.DeepEqual(applied, change) || pending != nil || !reflect.DeepEqual(next, want) {
			t.Errorf("%s, live %v: %v, %v\n%+v\nwant %+v", k.id(), k.live, applied, pending, next, want)
		}
		if strings.Contains(change[0].New, "geheim") {
			t.Errorf("%s: shows a password: %v", k.id(), change)
		}
		if !reflect.DeepEqual(*running, before) {
			t.Errorf("%s: the running configuration was changed", k.id())
		}
	}
}

// TestPendingStaysUntilRestart: what waits is told at each reload, and no more once the file is back.
func TestPendingStaysUntilRestart(t *testing.T) {
	running, err := loadText(t, "name: a\nwal: {keep_size: 64MB}")
	if err != nil {
		t.Fatal(err)
	}
	read, err := loadText(t, "name: b\nlog_level: warn", Override{"log-format", []string{"json"}})
	if err != nil {
		t.Fatal(err)
	}
	next, applied, pending := Reload(running, read)
	if len(applied) != 2 || applied[1] != (Change{"wal.keep_size", "64MB", "1GB"}) || len(pending) != 2 ||
		next.Name != "a" || next.LogFormat != "text" || next.LogLevel != slog.LevelWarn {
		t.Errorf("%v, %v, %+v", applied, pending, next)
	}
	if _, applied, again := Reload(next, read); len(applied) != 0 || !reflect.DeepEqual(again, pending) {
		t.Errorf("the same file again: %v, %v", applied, again)
	}
	if _, _, pending := Reload(next, running); len(pending) != 0 {
		t.Errorf("the old file again: %v", pending)
	}
}

// TestReferenceFileTellsWhatReloads: the comment above a key, or of its section, says whether SIGHUP is enough.
func TestReferenceFileTellsWhatReloads(t *testing.T) {
	content, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	line := regexp.MustCompile(`^( *)([a-z_]+):(.*)$`)
	section, comment, ofSection := "", "", ""
	for _, l := range strings.Split(string(content), "\n") {
		m := line.FindStringSubmatch(l)
		switch {
		case m == nil && strings.HasPrefix(strings.TrimSpace(l), "#"):
			comment += l
			continue
		case m == nil:
		case m[1] == "":
			section, ofSection = m[2]+".", comment
			told[m[2]] = strings.Contains(comment, restartNote)
		default:
			told[section+m[2]] = strings.Contains(ofSection+comment+m[3], restartNote)
		}
		comment = ""
	}
	for _, k := range keys {
		if told[k.path] == k.live {
			t.Errorf("%s: live %v, but the reference file says %v", k.id(), k.live, told[k.path])
		}
	}
}

const restartNote = "(change requires restart)"
