package slot

import (
	"testing"
	"time"
)

// TestPrimaryBy: a primary shows the names that it would have as a standby, and nobody else does.
func TestPrimaryBy(t *testing.T) {
	with := func(recovery string) map[string]string {
		return map[string]string{"in_hot_standby": recovery, "primary_slot_name": "a", "cluster_name": "db2"}
	}
	for name, c := range map[string]struct {
		streams  bool
		settings map[string]string
		want     Primary
	}{
		"a primary":                      {true, with("off"), Primary{Slot: "a", Name: "db2", Host: "h"}},
		"one that does not say whether":  {true, with(""), Primary{Slot: "a", Name: "db2", Host: "h"}},
		"one without names":              {true, map[string]string{}, Primary{Host: "h"}},
		"a standby":                      {true, with("on"), Primary{}},
		"no stream: it may be another's": {false, with("off"), Primary{}},
	} {
		if got := PrimaryBy(c.streams, c.settings, "h"); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A slot is the promoted server's where nothing else can be (ruling R41): who is wrongly taken for it loses its WAL.
func TestPromoted(t *testing.T) {
	seen := time.Unix(1e9, 0)
	left := func(name, user, host string, ago time.Duration) Info {
		return Info{Name: name, User: User{user, host, 1}, Inactive: seen.Add(-ago)}
	}
	with := func(s Info, change func(*Info)) Info {
		change(&s)
		return s
	}
	server := func(slot, name, host string) Primary {
		return Primary{Slot: slot, Name: name, Host: host, Timeline: 2, Seen: seen}
	}
	db2 := server("a", "db2", "10.0.0.2")
	a := left("a", "db2", "10.0.0.2", time.Second)
	other := left("b", "db3", "10.0.0.3", time.Second)
	for name, c := range map[string]struct {
		all      []Info
		slotless []User
		primary  Primary
		want     string
	}{
		"by name and host":      {[]Info{other, a}, []User{{"db4", "10.0.0.4", 0}}, db2, "a"},
		"by name, behind a NAT": {[]Info{left("a", "db2", "10.9.9.9", 0), left("b", "db3", "10.9.9.9", 0)}, nil, db2, "a"},
		"by name, on loopback":  {[]Info{left("a", "db2", "::1", 0), left("b", "db3", "::1", 0)}, nil, server("a", "db2", "::1"), "a"},
		"by host, no cluster_name": {[]Info{left("a", "walreceiver", "10.0.0.2", 0),
			left("b", "walreceiver", "10.0.0.3", 0)}, nil, server("a", "", "10.0.0.2"), "a"},
		"by host, Debian's cluster_name": {[]Info{left("a", "15/main", "::ffff:10.0.0.2", 0),
			left("b", "15/main", "10.0.0.3", 0)}, nil, server("a", "15/main", "10.0.0.2"), "a"},
		"its session ended a little later": {[]Info{left("a", "db2", "", -5*time.Second)}, nil, db2, "a"},

		"Debian's cluster_name on one host": {[]Info{left("a", "15/main", "10.0.0.2", 0),
			left("b", "15/main", "10.0.0.2", 0)}, nil, server("a", "15/main", "10.0.0.2"), ""},
		"one away for maintenance bears the name": {[]Info{left("b", "15/main", "::1", time.Second)}, nil,
			server("a", "15/main", "::1"), ""},
		"the server had no slot": {[]Info{left("a", "15/main", "10.0.0.2", time.Second)}, nil, server("", "15/main", "10.0.0.2"), ""},
		"its slot is not here":   {[]Info{left("b", "db2", "10.0.0.2", time.Second)}, nil, db2, ""},
		"another with the name is attached": {[]Info{left("a", "15/main", "", 0),
			with(left("b", "15/main", "", 0), func(s *Info) { s.ActivePID = 7 })}, nil, server("a", "15/main", ""), ""},
		"one without a slot bears the name": {[]Info{left("a", "15/main", "", 0)}, []User{{"15/main", "10.0.0.3", 0}},
			server("a", "15/main", "10.0.0.2"), ""},
		"one without a slot is on the host": {[]Info{left("a", "x", "10.0.0.2", 0)}, []User{{"y", "10.0.0.2", 0}}, db2, ""},
		"alone on loopback":                 {[]Info{left("a", "x", "127.0.0.1", 0)}, nil, server("a", "", "127.0.0.1"), ""},
		"both by a unix socket":             {[]Info{left("a", "x", "", 0)}, nil, server("a", "", ""), ""},
		"another name and host":             {[]Info{left("a", "db3", "10.0.0.3", 0)}, nil, db2, ""},
		"left long before":                  {[]Info{left("a", "db2", "10.0.0.2", time.Hour)}, nil, db2, ""},
		"left long after":                   {[]Info{left("a", "db2", "10.0.0.2", -time.Minute)}, nil, db2, ""},
		"follows that server":               {[]Info{with(a, func(s *Info) { s.User.Timeline = 2 })}, nil, db2, ""},
		"in use":                            {[]Info{with(a, func(s *Info) { s.ActivePID = 7 })}, nil, db2, ""},
		"used elsewhere since":              {[]Info{with(a, func(s *Info) { s.Foreign = true })}, nil, db2, ""},
		"nobody since the start":            {[]Info{with(a, func(s *Info) { s.User = User{} })}, nil, db2, ""},
		"lost":                              {[]Info{with(a, func(s *Info) { s.Lost = WALRemoved })}, nil, db2, ""},
		"nothing is known":                  {[]Info{with(a, func(s *Info) { s.Name = "" })}, nil, Primary{}, ""},
	} {
		got, shown := Promoted(c.all, c.slotless, c.primary)
		if shown != (c.want != "") || shown && got != c.want {
			t.Errorf("%s: %q, %t, expected %q", name, got, shown, c.want)
		}
	}
}
