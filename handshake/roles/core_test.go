package roles

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestCacheHoldsAsLongAsItMay(t *testing.T) {
	c := newCache(30*time.Second, time.Hour)
	r := Role{Name: "a", Secret: "s", Login: true}
	c.learn("a", r, true, t0)
	c.learn("nobody", Role{}, false, t0)
	for _, tc := range []struct {
		name          string
		after         time.Duration
		known         bool
		fresh, usable bool
	}{
		{"a", 0, true, true, true}, {"a", 29 * time.Second, true, true, true}, {"a", 30 * time.Second, true, false, true},
		{"a", time.Hour - 1, true, false, true}, {"a", time.Hour, true, false, false},
		{"a", -time.Second, true, true, true}, {"a", -2 * time.Hour, true, false, false}, // the clock was set back
		{"nobody", 0, false, true, false}, {"nobody", time.Minute, false, false, false},
		{"other", 0, false, false, false},
	} {
		f, fresh, usable := c.look(tc.name, t0.Add(tc.after))
		if f.Known != tc.known || fresh != tc.fresh || usable != tc.usable || f.Known && f.Role != r {
			t.Errorf("%s after %s: %+v, %v, %v", tc.name, tc.after, f, fresh, usable)
		}
	}
}

// A wrong password makes the next log-in ask, but guessing asks no more than once a second.
func TestSuspect(t *testing.T) {
	c := newCache(time.Minute, time.Hour)
	c.learn("a", Role{Name: "a"}, true, t0)
	c.suspect("a", t0.Add(suspicion-1))
	if _, fresh, _ := c.look("a", t0.Add(suspicion)); !fresh {
		t.Error("suspected what was asked just now")
	}
	c.suspect("a", t0.Add(suspicion))
	if _, fresh, usable := c.look("a", t0.Add(suspicion)); fresh || !usable {
		t.Error("not suspected, or not usable while the primary is down")
	}
	c.learn("a", Role{Name: "a"}, true, t0.Add(2*suspicion))
	if _, fresh, _ := c.look("a", t0.Add(2*suspicion)); !fresh {
		t.Error("suspected after it was asked")
	}
	c.suspect("b", t0)
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(time.Minute, time.Hour)
	for i := range maxRoles + 10 {
		c.learn(fmt.Sprint("r", i), Role{Name: fmt.Sprint("r", i)}, true, t0.Add(time.Duration(i)))
	}
	for i := range 3*maxUnknown + 5 {
		c.learn(fmt.Sprint("u", i), Role{}, false, t0)
	}
	if n := len(c.entries) - c.unknown; n != maxRoles || c.unknown > maxUnknown {
		t.Errorf("%d roles and %d unknown", n, c.unknown)
	}
	if _, fresh, _ := c.look("r9", t0); fresh {
		t.Error("the oldest is still there")
	}
	if _, fresh, _ := c.look(fmt.Sprint("r", maxRoles+9), t0.Add(time.Second)); !fresh {
		t.Error("the newest is gone")
	}
}

func TestDueForRefresh(t *testing.T) {
	c := newCache(time.Minute, 8*time.Hour)
	c.learn("old", Role{Name: "old"}, true, t0)
	c.learn("younger", Role{Name: "younger"}, true, t0.Add(time.Minute))
	c.learn("nobody", Role{}, false, t0)
	if got := c.due(t0.Add(time.Hour-1), 10); got != nil || c.unknown != 0 {
		t.Errorf("due %v, unknown %d", got, c.unknown)
	}
	if got := c.due(t0.Add(2*time.Hour), 10); !reflect.DeepEqual(got, []string{"old", "younger"}) {
		t.Errorf("due %v", got)
	}
	if got := c.due(t0.Add(2*time.Hour), 1); !reflect.DeepEqual(got, []string{"old"}) {
		t.Errorf("due %v", got)
	}
	c.changed = false
	if c.due(t0.Add(9*time.Hour), 10); len(c.entries) != 0 || !c.changed {
		t.Errorf("%d entries left", len(c.entries))
	}
}

// Roles that are expected are asked for before anybody logs in by them, again and again but not all the time.
func TestExpected(t *testing.T) {
	c := newCache(0, 8*time.Hour)
	c.expected = []string{"a", "b"}
	c.learn("b", Role{Name: "b"}, true, t0)
	if got := c.due(t0, 10); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("due %v", got)
	}
	c.learn("a", Role{}, false, t0)
	if got := c.due(t0.Add(expectAgain-1), 10); got != nil {
		t.Errorf("due %v", got)
	}
	if got := c.due(t0.Add(expectAgain), 10); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("due %v", got)
	}
}

// What has to be kept is known by what was learned.
func TestChanged(t *testing.T) {
	c := newCache(time.Minute, time.Hour)
	a := Role{Name: "a", Login: true}
	for i, tc := range []struct {
		r              Role
		known          bool
		changed, asked bool
	}{{a, true, true, false}, {a, true, false, true}, {Role{Name: "a"}, true, true, false}, {Role{}, false, true, false}, {Role{}, false, false, false}} {
		c.changed, c.asked = false, false
		c.learn("a", tc.r, tc.known, t0)
		if c.changed != tc.changed || c.asked != tc.asked {
			t.Errorf("%d: %v, %v", i, c.changed, c.asked)
		}
	}
}

// A standby's role, asked for longest ago, is not forgotten for the many of applications: it is what a failover needs.
func TestStandbysRolesStay(t *testing.T) {
	c, t0 := newCache(time.Second, time.Hour), time.Unix(1e9, 0)
	c.learn("standby", Role{Name: "standby", Login: true, Replication: true}, true, t0)
	for i := range maxRoles + 10 {
		name := fmt.Sprint("app", i)
		c.learn(name, Role{Name: name, Login: true}, true, t0.Add(time.Second))
	}
	if _, _, usable := c.look("standby", t0.Add(2*time.Second)); !usable || len(c.entries) != maxRoles {
		t.Errorf("usable %v, %d roles", usable, len(c.entries))
	}
}
