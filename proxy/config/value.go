package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/replproxy/replproxy/internal/tcpopt"
)

// value reads one key from text and prints it. Lists take all their items at once, because a flag or a file replaces
// the whole list and never appends to the default.
type value struct {
	list  bool
	lists bool // a mapping of lists; its texts are name, zero byte, item
	maps  bool // a mapping of mappings; its texts are name, zero byte, key, zero byte, value
	field any  // pointer to where the value stands
	set   func(texts []string) error
	get   func() string
}

func one(field any, set func(string) error, get func() string) value {
	return value{field: field, set: func(t []string) error { return set(t[0]) }, get: get}
}

// take gives v the value of the same key in another configuration.
func (v value) take(from value) {
	reflect.ValueOf(v.field).Elem().Set(reflect.ValueOf(from.field).Elem())
}

func text(p *string) value {
	return one(p, func(s string) error { *p = s; return nil }, func() string { return *p })
}

func texts(p *[]string) value {
	return value{
		list: true, field: p,
		set: func(t []string) error { *p = t; return nil },
		get: func() string { return strings.Join(*p, ", ") },
	}
}

// listenerRules returns the value of texts of address, zero byte, rule; an address alone is a listener with an empty
// list.
func listenerRules(p *[]ListenerAccess) value {
	return value{
		lists: true, field: p,
		set: func(t []string) error {
			*p = nil
			for _, pair := range t {
				address, rule, hasRule := strings.Cut(pair, "\x00")
				if n := len(*p); n == 0 || (*p)[n-1].Address != address {
					*p = append(*p, ListenerAccess{Address: address})
				}
				if l := &(*p)[len(*p)-1]; hasRule {
					l.Rules = append(l.Rules, rule)
				}
			}
			return nil
		},
		get: func() string {
			var all []string
			for _, l := range *p {
				all = append(all, l.Address+": ["+strings.Join(l.Rules, ", ")+"]")
			}
			return strings.Join(all, ", ")
		},
	}
}

// zones returns the value of zones, which are printed as they are written in the file.
func zones(p *[]Zone) value {
	return value{
		lists: true, field: p,
		set: func(t []string) error {
			*p = nil
			for _, pair := range t {
				name, voter, _ := strings.Cut(pair, "\x00")
				if n := len(*p); n == 0 || (*p)[n-1].Name != name {
					*p = append(*p, Zone{Name: name})
				}
				z := &(*p)[len(*p)-1]
				z.Voters = append(z.Voters, voter)
			}
			slices.SortFunc(*p, func(a, b Zone) int { return strings.Compare(a.Name, b.Name) })
			return nil
		},
		get: func() string {
			var all []string
			for _, z := range *p {
				all = append(all, z.Name+": ["+strings.Join(z.Voters, ", ")+"]")
			}
			return "{" + strings.Join(all, ", ") + "}"
		},
	}
}

func enum(p *string, words ...string) value {
	return one(p, func(s string) error {
		for _, w := range words {
			if s == w {
				*p = s
				return nil
			}
		}
		return fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
	}, func() string { return *p })
}

// boolean takes the words of PostgreSQL's boolean settings.
func boolean(p *bool) value {
	return one(p, func(s string) error {
		switch strings.ToLower(s) {
		case "true", "on", "yes", "1":
			*p = true
		case "false", "off", "no", "0":
			*p = false
		default:
			return fmt.Errorf("%q is not a boolean: say true or false", s)
		}
		return nil
	}, func() string { return strconv.FormatBool(*p) })
}

// mirror returns the value of a boolean, where true means presence, or of one of the kinds.
func mirror(p *string) value {
	v := enum(p, "false", "presence")
	words := v.set
	v.set = func(t []string) error {
		on := false
		if len(t) == 1 && t[0] == "gate" {
			return errors.New("gate is not supported any more: it delayed each logical change, and a stop of the " +
				"primary lost a subscriber's last rows; name a slot in slots.rule_gate, and that one in the " +
				"primary's synchronized_standby_slots")
		}
		if boolean(&on).set(t) != nil {
			return words(t)
		}
		if *p = "false"; on {
			*p = "presence"
		}
		return nil
	}
	return v
}

func integer(p *int, low, high int) value {
	return one(p, func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return fmt.Errorf("%q is not a number from %d to %d", s, low, high)
		}
		*p = n
		return nil
	}, func() string { return strconv.Itoa(*p) })
}

// reader wraps a parser whose type prints itself.
func reader[T fmt.Stringer](p *T, parse func(string) (T, error)) value {
	return one(p, func(s string) error {
		v, err := parse(s)
		if err == nil {
			*p = v
		}
		return err
	}, func() string { return (*p).String() })
}

func slotChoice(p *SlotChoice) value {
	return one(p, func(s string) error { *p = SlotChoice{Chosen: true, Name: s}; return nil },
		func() string {
			if !p.Chosen {
				return "default"
			}
			return strconv.Quote(p.Name)
		})
}

func parseAutoSize(s string) (AutoSize, error) {
	if s == "auto" {
		return AutoSize{Auto: true}, nil
	}
	if s == "-1" {
		return AutoSize{Size: -1}, nil
	}
	size, err := ParseSize(s)
	return AutoSize{Size: size}, err
}

func level(p *slog.Level) value {
	v := reader(p, parseLevel)
	v.get = func() string { return strings.ToLower(p.String()) }
	return v
}

// parseSeconds reads a time; a bare number is in seconds.
func parseSeconds(s string) (time.Duration, error) { return ParseDuration(s, time.Second) }

// parseKeepalive reads PostgreSQL's tcp_keepalives_idle and tcp_keepalives_interval: whole seconds up to the kernel's
// maximum; 0 is the system's default.
func parseKeepalive(s string) (time.Duration, error) {
	d, err := parseSeconds(s)
	if err == nil && (d > tcpopt.MaxIdle || d%time.Second != 0) {
		err = fmt.Errorf("%q is not whole seconds from 0, the system's default, to %d", s, tcpopt.MaxIdle/time.Second)
	}
	return d, err
}

// parseUserTimeout reads PostgreSQL's tcp_user_timeout: whole milliseconds; 0 is the system's default.
func parseUserTimeout(s string) (time.Duration, error) {
	d, err := ParseDuration(s, time.Millisecond)
	switch {
	case err == nil && (d > math.MaxInt32*time.Millisecond || d%time.Millisecond != 0):
		err = fmt.Errorf("%q is not whole milliseconds from 0, the system's default, to %d", s, math.MaxInt32)
	case err == nil && d > 0 && !tcpopt.HaveUserTimeout:
		err = errors.New("is not supported on this system")
	}
	return d, err
}

// parseLoginTime reads PostgreSQL's authentication_timeout, within its bounds.
func parseLoginTime(s string) (time.Duration, error) {
	d, err := parseSeconds(s)
	if err == nil && (d < time.Second || d > 10*time.Minute) {
		err = fmt.Errorf("%q is not from 1s to 10min", s)
	}
	return d, err
}

// parseDelay reads a time from 0 to a minute, in milliseconds without a unit: who has failed holds a session for so
// long.
func parseDelay(s string) (time.Duration, error) {
	d, err := ParseDuration(s, time.Millisecond)
	if err == nil && (d < 0 || d > time.Minute) {
		err = fmt.Errorf("%q is not from 0 to 1min", s)
	}
	return d, err
}

func parseLevel(s string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(s, l.String()) {
			return l, nil
		}
	}
	return 0, fmt.Errorf("%q is not one of debug, info, warn, error", s)
}
