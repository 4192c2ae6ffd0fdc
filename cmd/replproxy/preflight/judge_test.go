package preflight

import (
	"errors"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/handshake/access"
)

func goodSetup() Setup {
	return Setup{Name: "proxy_a", User: "repl", Slot: "replproxy_proxy_a", DataDir: "/d", KeepSize: 1 << 30,
		MinFree: 1 << 30, MaxUpstreamWalsenders: 2}
}

func goodFacts() Facts {
	return Facts{
		Endpoint: "db1:5432", Version: "15.18", Major: 15, System: "1",
		Settings: map[string]string{"wal_level": "replica", "max_wal_senders": "10", "max_replication_slots": "10",
			"synchronous_standby_names": ""},
		Walsenders:  []Walsender{{"s1", "streaming"}},
		TrustTested: true,
		Disk:        Disk{Exists: true, Total: 100 << 30, Free: 50 << 30},
	}
}

func trustAll(t *testing.T) *access.Rules {
	t.Helper()
	rules, err := access.Parse([]string{"host all all 127.0.0.1/32 trust"})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// TestRuleTraps are the warnings that a rule brings with it, in check and in run.
func TestRuleTraps(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Setup, *Facts)
		check  string // "" = no check but the one that shows the rule
		advice string // "" = none
	}{
		{"scram", func(s *Setup, _ *Facts) { s.AuthMethod = "scram" }, "", ""},
		{"relay", func(s *Setup, _ *Facts) { s.AuthMethod = "relay" }, "relayed", "relayed"},
		{"shared name", func(_ *Setup, f *Facts) { f.Walsenders = []Walsender{{"s1", ""}, {"S1", ""}, {"x", ""}, {"x", ""}} },
			"it counts s1, a name", ""},
		{"our slot", func(_ *Setup, f *Facts) { f.Settings["synchronized_standby_slots"] = `a, "replproxy_proxy_a"` },
			"can hang", "can hang"},
		{"other slots", func(_ *Setup, f *Facts) { f.Settings["synchronized_standby_slots"] = "a, b" }, "", ""},
		{"twice", func(s *Setup, f *Facts) {
			s.Members, f.Settings["synchronous_standby_names"] = []string{"proxy-b"}, `ANY 2 (proxy_a, "proxy-b", s9)`
		}, `proxy_a and "proxy-b", which report the same quorum`, "more than once"},
		{"once", func(s *Setup, f *Facts) {
			s.Members, f.Settings["synchronous_standby_names"] = []string{"proxy_b"}, `ANY 1 (proxy_a, proxy_b)`
		}, "", ""},
		{"remote_apply with a rule", func(_ *Setup, f *Facts) {
			f.Settings["synchronous_standby_names"], f.Settings["synchronous_commit"] = "proxy_a", "remote_apply"
		}, "", ""},
		{"remote_apply without a rule", func(s *Setup, f *Facts) {
			s.Rule, f.Settings["synchronous_standby_names"], f.Settings["synchronous_commit"] = "", "proxy_a", "remote_apply"
		}, "", "applies nothing"},
	} {
		s, f := goodSetup(), goodFacts()
		s.Rule, s.AuthMethod = `ANY 2 (s1, "x-y")`, "scram"
		c.change(&s, &f)
		var texts []string
		for _, got := range ruleChecks(s, f) {
			if got.Level != OK {
				texts = append(texts, got.Text)
			}
		}
		if got := strings.Join(texts, "\n"); (got == "") != (c.check == "") || !strings.Contains(got, c.check) {
			t.Errorf("%s: checks %q, want %q", c.name, got, c.check)
		}
		if got := strings.Join(ruleAdvice(s, f), "\n"); (got == "") != (c.advice == "") || !strings.Contains(got, c.advice) {
			t.Errorf("%s: advice %q, want %q", c.name, got, c.advice)
		}
	}
}

// TestNamesakes: two walsenders that stream under the proxy's name are a warning, log-ins and backups are not.
func TestNamesakes(t *testing.T) {
	s, f := goodSetup(), goodFacts()
	f.Walsenders = []Walsender{{s.Name, "streaming"}, {s.Name, "backup"}, {s.Name, "startup"}, {s.Name, ""}}
	const warning = "2 walsenders of the primary stream under the name"
	if got := strings.Join(Advise(s, f, nil), "\n"); strings.Contains(got, "walsenders of the primary stream") {
		t.Errorf("one of them: %s", got)
	}
	f.Walsenders = append(f.Walsenders, Walsender{strings.ToUpper(s.Name), "catchup"})
	if got := strings.Join(Advise(s, f, nil), "\n"); !strings.Contains(got, warning) {
		t.Errorf("two of them: %s", got)
	}
}

// TestJudge changes one fact at a time: one check changes, and every check that is not ok has a remedy.
func TestJudge(t *testing.T) {
	refused := func(c pgerror.Code) error { return pgerror.Fatal(c, "no") }
	for _, c := range []struct {
		name   string
		change func(*Setup, *Facts)
		check  string
		level  Level
		has    string
	}{
		{"all good", func(*Setup, *Facts) {}, "upstream", OK, "db1:5432"},
		{"refused", func(_ *Setup, f *Facts) { f.Replication = errors.New("refused") }, "upstream", Fail, "listen_addresses"},
		{"pg_hba", func(_ *Setup, f *Facts) { f.Replication = refused(pgerror.InvalidAuthorization) }, "upstream", Fail,
			"host replication repl <address of this host>/32"},
		{"password", func(_ *Setup, f *Facts) { f.Replication = refused(pgerror.InvalidPassword) }, "upstream", Fail, ".pgpass"},
		{"role", func(_ *Setup, f *Facts) { f.Replication = refused(pgerror.InsufficientPrivilege) }, "upstream", Fail,
			"ALTER ROLE repl REPLICATION"},
		{"full", func(_ *Setup, f *Facts) { f.Replication = refused(pgerror.TooManyConnections) }, "upstream", Fail, "max_wal_senders"},
		{"starting", func(_ *Setup, f *Facts) { f.Replication = refused(pgerror.CannotConnectNow) }, "upstream", Fail, "try again"},
		{"old", func(_ *Setup, f *Facts) { f.Major = 13 }, "version", Fail, "14 to 18"},
		{"new", func(_ *Setup, f *Facts) { f.Major = 19 }, "version", Warn, "14 to 18"},
		{"no version", func(_ *Setup, f *Facts) { f.Major = 0 }, "version", Warn, "PostgreSQL"},
		{"cascade", func(_ *Setup, f *Facts) { f.Standby = true }, "version", OK, "cascades"},
		{"no sql", func(_ *Setup, f *Facts) { f.SQL = errors.New("nope") }, "role", Warn, "nope"},
		{"minimal", func(_ *Setup, f *Facts) { f.Settings["wal_level"] = "minimal" }, "wal_level", Fail, "restart"},
		{"unknown level", func(_ *Setup, f *Facts) { delete(f.Settings, "wal_level") }, "wal_level", Warn, "replica"},
		{"senders unknown", func(_ *Setup, f *Facts) { delete(f.Settings, "max_wal_senders") }, "max_wal_senders", Warn, ""},
		{"senders unseen", func(_ *Setup, f *Facts) { f.SQL = errors.New("x") }, "max_wal_senders", Warn, "3 are free"},
		{"few senders", func(_ *Setup, f *Facts) { f.Settings["max_wal_senders"] = "3" }, "max_wal_senders", Warn, "to 4 or more"},
		{"no senders", func(_ *Setup, f *Facts) { f.Settings["max_wal_senders"] = "1" }, "max_wal_senders", Fail, "Raise"},
		{"our own sender", func(_ *Setup, f *Facts) {
			f.Settings["max_wal_senders"], f.Walsenders = "3", []Walsender{{"proxy_a", "streaming"}}
		}, "max_wal_senders", OK, "2 of 3 free beside the one that this proxy has"},
		{"our own sender is the last", func(_ *Setup, f *Facts) {
			f.Settings["max_wal_senders"], f.Walsenders = "2", []Walsender{{"proxy_a", "streaming"}, {"s1", "streaming"}}
		}, "max_wal_senders", Warn, "0 of 2 free beside the one that this proxy has"},
		{"less than a segment", func(s *Setup, f *Facts) { s.KeepSize, f.Settings["wal_segment_size"] = 1<<20, "16MB" }, "wal.keep_size", Warn, "less than one segment"},
		{"no slot", func(s *Setup, _ *Facts) { s.Slot = "" }, "slot", Warn, "wal_keep_size"},
		{"slot missing", func(*Setup, *Facts) {}, "slot", OK, "10 of 10 free"},
		{"slots full", func(_ *Setup, f *Facts) { f.Settings["max_replication_slots"] = "0" }, "slot", Fail, "Raise"},
		{"slots unknown", func(_ *Setup, f *Facts) { delete(f.Settings, "max_replication_slots") }, "slot", Warn, "unknown"},
		{"slot exists", func(s *Setup, f *Facts) { f.Slots = []Slot{{Name: s.Slot, Type: "physical"}} }, "slot", OK, "exists"},
		{"slot of another store", func(s *Setup, f *Facts) { s.NewStore, f.Slots = true, []Slot{{Name: s.Slot, Type: "physical"}} }, "slot", Fail, "--new-store"},
		{"slot active", func(s *Setup, f *Facts) { f.Slots = []Slot{{Name: s.Slot, Type: "physical", Active: true}} }, "slot", Warn, "in use"},
		{"slot logical", func(s *Setup, f *Facts) { f.Slots = []Slot{{Name: s.Slot, Type: "logical"}} }, "slot", Fail, "another one"},
		{"slot lost", func(s *Setup, f *Facts) { f.Slots = []Slot{{Name: s.Slot, Type: "physical", WALStatus: "lost"}} }, "slot", Warn, "lost"},
		{"slot read", func(_ *Setup, f *Facts) { f.SQL, f.SlotAsked, f.SlotFound = errors.New("x"), true, true }, "slot", OK, "exists"},
		{"slot read, missing", func(_ *Setup, f *Facts) { f.SQL, f.SlotAsked = errors.New("x"), true }, "slot", Warn, "does not exist"},
		{"mirrors fit", func(s *Setup, f *Facts) {
			s.Mirror, f.Disk.Slots, f.Slots = "presence", []string{"a", "b"}, []Slot{{Name: "a", Held: -1}}
		}, "slots.mirror", OK, "9 of 10 slots free on the primary, 2 missing"},
		{"no further mirror", func(s *Setup, f *Facts) {
			s.Mirror, f.Disk.Slots, f.Settings["max_replication_slots"] = "presence", []string{"a"}, "2"
		}, "slots.mirror", Warn, "No further slot"},
		{"mirrors do not fit", func(s *Setup, f *Facts) {
			s.Mirror, f.Disk.Slots, f.Settings["max_replication_slots"] = "presence", []string{"a", "b"}, "2"
		}, "slots.mirror", Fail, "to 3 and one more for each standby"},
		{"mirrors without sql", func(s *Setup, f *Facts) { s.Mirror, f.SQL = "presence", errors.New("x") }, "slots.mirror", Warn, "log in"},
		{"gate used by a stranger", gateOf(Slot{Type: "physical", Active: true, Holder: "report"}), "slots.rule_gate", Fail, `used by "report"`},
		{"gate used by nobody's name", gateOf(Slot{Type: "physical", Active: true}), "slots.rule_gate", Fail, "no proxy"},
		{"gate used by a member", gateOf(Slot{Type: "physical", Active: true, Holder: "proxy_b"}), "slots.rule_gate", OK, "is in"},
		{"gate used by this proxy", gateOf(Slot{Type: "physical", Active: true, Holder: "proxy_a"}), "slots.rule_gate", OK, "is in"},
		{"gate that is logical", gateOf(Slot{Type: "logical"}), "slots.rule_gate", Fail, "logical"},
		{"gate that is temporary", gateOf(Slot{Type: "physical", Temporary: true}), "slots.rule_gate", Fail, "temporary"},
		{"gate on 15", func(s *Setup, _ *Facts) { s.RuleGate = "g" }, "slots.rule_gate", Warn, "not used"},
		{"gate without sql", func(s *Setup, f *Facts) { s.RuleGate, f.Major, f.SQL = "g", 17, errors.New("x") }, "slots.rule_gate", Warn, "log in"},
		{"gate that nobody waits for", func(s *Setup, f *Facts) {
			s.RuleGate, f.Major, f.Settings["synchronized_standby_slots"] = "g", 17, "s9"
		}, "slots.rule_gate", Warn, "does not name g"},
		{"no slot for the gate", func(s *Setup, f *Facts) {
			s.RuleGate, f.Major, f.Settings["max_replication_slots"] = "g", 17, "0"
		}, "slots.rule_gate", Fail, "no slot is left"},
		{"gate", func(s *Setup, f *Facts) {
			s.RuleGate, f.Major, f.Settings["synchronized_standby_slots"] = "g", 17, "s9, g"
		}, "slots.rule_gate", OK, "g is in"},
		{"open gates", func(s *Setup, f *Facts) {
			s.Mirror, f.Major, f.Disk.Slots, f.Settings["synchronized_standby_slots"] = "presence", 17, []string{"s1"}, "s9, s1"
		}, "slots.mirror and primary", Warn, "names s1, which"},
		{"nothing idle", func(s *Setup, f *Facts) {
			f.Slots = []Slot{{Name: s.Slot, Held: 5}, {Name: "a", Active: true, Held: 5}, {Name: "b", Held: -1}}
		}, "idle slots", OK, "nobody's"},
		{"idle slot", func(_ *Setup, f *Facts) {
			f.Slots = []Slot{{Name: "old", Type: "physical", Held: 3 << 30}}
		}, "idle slots", Warn, "old (physical, 3 GB)"},
		{"idle slot of another proxy", func(_ *Setup, f *Facts) {
			f.Slots = []Slot{{Name: "replproxy_proxy_c", Type: "physical", Held: 3 << 30}}
		}, "idle slots", Warn, "not while that one exists"},
		{"idle mirror", func(s *Setup, f *Facts) {
			s.Mirror, f.Disk.Slots, f.Slots = "presence", []string{"a"}, []Slot{{Name: "a", Held: 5}}
		}, "idle slots", OK, "nobody's"},
		{"idle slot of a member", func(s *Setup, f *Facts) {
			s.MemberSlots, f.Slots = []string{"replproxy_proxy_b"}, []Slot{{Name: "replproxy_proxy_b", Type: "physical", Held: 3 << 30}}
		}, "idle slots", OK, "nobody's"},
		{"slot unasked", func(_ *Setup, f *Facts) { f.SQL = errors.New("x") }, "slot", Warn, "unknown"},
		{"disk", func(_ *Setup, f *Facts) { f.Disk.Err = errors.New("not writable") }, "data_dir", Fail, "--data-dir"},
		{"small disk", func(_ *Setup, f *Facts) { f.Disk = Disk{Total: 2 << 30, Free: 1 << 30} }, "data_dir", Warn, "larger volume"},
		{"full disk", func(_ *Setup, f *Facts) { f.Disk.Free = 1 << 20 }, "data_dir", Warn, "min_free"},
		{"our own store", func(_ *Setup, f *Facts) { f.Disk.Free = 3 << 29 }, "data_dir", OK, "free"},
		{"names us", func(_ *Setup, f *Facts) { f.Settings["synchronous_standby_names"] = "Proxy_A" },
			"synchronous_standby_names", Warn, "on no standby"},
		{"names all", func(_ *Setup, f *Facts) { f.Settings["synchronous_standby_names"] = "*" },
			"synchronous_standby_names", Warn, "on no standby"},
		{"names a direct standby", func(_ *Setup, f *Facts) { f.Settings["synchronous_standby_names"] = "s1" },
			"synchronous_standby_names", OK, "s1"},
		{"names an unseen one", func(_ *Setup, f *Facts) { f.Settings["synchronous_standby_names"] = `ANY 1 (s1, "s-2")` },
			"synchronous_standby_names", Warn, `does not see "s-2"`},
		{"names unknown", func(_ *Setup, f *Facts) { delete(f.Settings, "synchronous_standby_names") },
			"synchronous_standby_names", Warn, "wait for ever"},
		{"relay and a rule", func(s *Setup, _ *Facts) { s.Rule, s.AuthMethod = "ANY 1 (s1)", "relay" }, "rule and log-in", Fail, "cannot fetch"},
		{"rule", func(s *Setup, _ *Facts) { s.Rule = "ANY 1 (s1)" }, "rule", OK, "ANY 1 (s1)"},
		{"wal.report", func(s *Setup, _ *Facts) { s.Rule, s.Report = "ANY 1 (s1)", "written" }, "wal.report", OK, "no commit waits"},
		{"wal.report beside slots.rule_gate", func(s *Setup, _ *Facts) {
			s.Rule, s.Report, s.RuleGate = "ANY 1 (s1)", "written", "gate"
		}, "wal.report", Warn, "all the same"},
		{"zones", zoned("ANY 2 (s1, s2, proxy_b)", "ANY 2 (*)"), "rule and zones", OK, "ANY 2 (*)"},
		{"zones that are too few", zoned("ANY 2 (s1, s2)", "ANY 2 (*)"), "rule and zones", Fail, "too few zones"},
		{"zones of a wildcard", zoned("ANY 2 (*, proxy_b)", "ANY 2 (*)"), "rule and zones", OK, "ANY 2 (*)"},
		{"zones with a stranger", zoned("ANY 2 (s1, s2)", "ANY 1 (east)"), "rule and zones", Warn, "proxy_b in"},
		{"rule, and names us", func(s *Setup, f *Facts) {
			s.Rule, f.Settings["synchronous_standby_names"] = "ANY 1 (s1)", "Proxy_A"
		}, "synchronous_standby_names", OK, "Proxy_A"},
		{"trust", func(_ *Setup, f *Facts) { f.Trusted = true }, "pg_hba", Warn, "scram-sha-256"},
		{"trust on loopback", func(s *Setup, f *Facts) { f.Trusted, s.LoopbackOnly = true, true }, "pg_hba", Warn, "--access"},
		{"trust on loopback, by a rule", func(s *Setup, f *Facts) {
			f.Trusted, s.LoopbackOnly, s.Access = true, true, []*access.Rules{trustAll(t)}
		}, "pg_hba", OK, "loopback"},
	} {
		s, f := goodSetup(), goodFacts()
		c.change(&s, &f)
		seen := false
		checks := Judge(s, f)
		failed := false
		for _, got := range checks {
			failed = failed || got.Level == Fail
			if (got.Level == OK) != (got.Remedy == "") {
				t.Errorf("%s: %s is %s with remedy %q", c.name, got.Name, got.Level, got.Remedy)
			}
			if got.Name != c.check {
				continue
			}
			seen = true
			if got.Level != c.level || !strings.Contains(got.Text+" "+got.Remedy, c.has) {
				t.Errorf("%s: %+v; want %s with %q", c.name, got, c.level, c.has)
			}
		}
		if !seen || Passed(checks) == failed {
			t.Errorf("%s: check %s seen %v; passed %v, failed %v", c.name, c.check, seen, Passed(checks), failed)
		}
	}
}

func TestAdvise(t *testing.T) {
	for _, c := range []struct {
		name, setting string
		behind        []string
		rule          string
		want          []string // a part of each warning
	}{
		{"nothing", "", []string{"s2"}, "", nil},
		{"invalid", "ANY (", []string{"s2"}, "", nil},
		{"us", "proxy_a", nil, "", []string{"whose own rule is empty"}},
		{"us with a rule", "proxy_a", nil, "s2", nil},
		{"everybody", "*", []string{"s2"}, "", []string{"whose own rule is empty"}},
		{"a standby behind us", "FIRST 1 (S2, s3)", []string{"s2"}, "", []string{"names s2, which is behind"}},
		{"one that is direct as well", "s1", []string{"s1"}, "", nil},
		{"both", "2 (proxy_a, s2)", []string{"s2"}, "", []string{"own rule is empty", "name proxy_a instead"}},
	} {
		s, f := goodSetup(), goodFacts()
		s.Rule, f.Settings["synchronous_standby_names"] = c.rule, c.setting
		got := Advise(s, f, c.behind)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) {
				t.Errorf("%s: %q, want %q", c.name, got[i], c.want[i])
			}
		}
	}
	s, f := goodSetup(), goodFacts()
	s.Rule, s.Members, s.ViaCluster = "s2", []string{"proxy_b"}, true
	f.Settings["synchronous_standby_names"] = "ANY 1 (proxy_a, Proxy_B)"
	if got := Advise(s, f, []string{"proxy_b", "s2"}); len(got) != 0 {
		t.Errorf("a member that streams from here is no standby: %q", got)
	}
	if c := syncNames(s, f); c.Level != OK {
		t.Errorf("a member that does not pull is no standby: %+v", c)
	}
	s, f = goodSetup(), goodFacts()
	f.Trusted = true
	delete(f.Settings, "synchronous_standby_names")
	got := strings.Join(Advise(s, f, nil), "\n")
	if !strings.Contains(got, "could not be asked") || !strings.Contains(got, "without a password") {
		t.Errorf("unknown and trusted: %s", got)
	}
}

func TestLookAtDisk(t *testing.T) {
	dir := t.TempDir()
	if d := LookAtDisk(dir); d.Err != nil || !d.Exists || d.Total <= 0 || d.Free <= 0 || d.Free > d.Total {
		t.Errorf("a directory: %+v", d)
	}
	if d := LookAtDisk(dir + "/not/there/yet"); d.Err != nil || d.Exists || d.Total <= 0 {
		t.Errorf("a missing one: %+v", d)
	}
	if d := LookAtDisk("/proc/version/x"); d.Err == nil {
		t.Errorf("below a file: %+v", d)
	}
	if d := LookAtDisk("/proc/version"); d.Err == nil {
		t.Errorf("a file: %+v", d)
	}
}

// zoned has s1 and s2 in the east, the store of proxy_b in the west.
func zoned(rule, spread string) func(*Setup, *Facts) {
	return func(s *Setup, _ *Facts) {
		s.Rule, s.Members = rule, []string{"proxy_b"}
		s.RuleText = vote.RuleText{Names: rule, Spread: spread, Zones: []vote.Zone{
			{Name: "east", Voters: []string{"s1", "s2"}}, {Name: "west", Voters: []string{"proxy_b"}},
		}}
	}
}

// gateOf makes a slot that the primary waits for the rule gate.
func gateOf(gate Slot) func(*Setup, *Facts) {
	return func(s *Setup, f *Facts) {
		gate.Name = "g"
		s.Name, s.RuleGate, s.Members, f.Major = "proxy_a", "g", []string{"proxy_b"}, 17
		f.Settings["synchronized_standby_slots"] = "g"
		f.Slots = append(f.Slots, gate)
	}
}
