package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// StandbyRule is an entry of standbys: what holds for those whose application_name the pattern has.
type StandbyRule struct {
	Pattern  string // * stands for any text; letters are compared without regard to case, as in a rule
	SendWhen string
}

// The values of send_when.
const (
	SendReceived = "received" // WAL is sent as it comes
	SendCovered  = "covered"  // no sooner than the rule covers it
)

// Covered reports whether a standby of that application_name is sent only what the rule covers, if it does not vote.
func (c *Config) Covered(name string) bool {
	for _, s := range c.Standbys {
		if s.Has(name) {
			return s.SendWhen == SendCovered
		}
	}
	return false
}

// CoversAny returns [Config.Covered], nil when no entry holds anybody.
func (c *Config) CoversAny() func(name string) bool {
	for _, s := range c.Standbys {
		if s.SendWhen == SendCovered {
			return c.Covered
		}
	}
	return nil
}

// Has reports whether the pattern has a name.
func (s StandbyRule) Has(name string) bool { return matches(foldASCII(s.Pattern), foldASCII(name)) }

// matches reports whether a name is as a pattern says, in which * stands for any text, none included. Case counts: the
// caller folds both. No other character is special.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return pattern == name
	}
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(name, part)
		if !found {
			return false
		}
		name = after
	}
	return true
}

// foldASCII returns lower case as PostgreSQL compares names: of ASCII letters only.
func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// standbys returns the value of a list of standbys, which is printed as it is written in the file.
func standbys(p *[]StandbyRule) value {
	return value{
		maps: true, field: p,
		set: func(t []string) error {
			*p = nil
			for _, text := range t {
				pattern, setting, _ := strings.Cut(text, "\x00")
				s := StandbyRule{Pattern: pattern, SendWhen: SendReceived}
				if key, word, said := strings.Cut(setting, "\x00"); said {
					if key != "send_when" {
						return fmt.Errorf("unknown key %q; an entry has send_when", key)
					}
					if err := enum(&s.SendWhen, SendReceived, SendCovered).set([]string{word}); err != nil {
						return fmt.Errorf("send_when: %w", err)
					}
				}
				*p = append(*p, s)
			}
			return nil
		},
		get: func() string {
			var all []string
			for _, s := range *p {
				all = append(all, s.Pattern+": {send_when: "+s.SendWhen+"}")
			}
			return "{" + strings.Join(all, ", ") + "}"
		},
	}
}

// maps reads a mapping whose values are mappings of single values.
func (d *document) maps(k key, node ast.Node) Errors {
	f := found{key: k, at: node.GetToken().Position, texts: []string{}}
	var errs Errors
	bad := func(n ast.Node, message string) { errs = append(errs, d.at(n.GetToken().Position, k.path, message)) }
	m, ok := node.(*ast.MappingNode)
	if !ok {
		bad(node, `expected names and settings, as in {"report_*": {send_when: covered}}`)
		return errs
	}
	for _, v := range m.Values {
		settings, ok := v.Value.(*ast.MappingNode)
		if !ok {
			bad(v.Value, "expected settings, as in {send_when: covered}")
			continue
		}
		text := v.Key.GetToken().Value
		for i, s := range settings.Values {
			t, err := scalar(s.Value)
			switch {
			case err != nil:
				bad(s.Value, err.Error())
			case i > 0:
				bad(s.Key, "an entry has send_when alone")
			}
			text += "\x00" + s.Key.GetToken().Value + "\x00" + t
		}
		f.texts, f.items = append(f.texts, text), append(f.items, v.Key.GetToken().Position)
	}
	if len(errs) == 0 {
		d.found = append(d.found, f)
	}
	return errs
}

// standbyProblems returns the faults of the patterns.
func (c *Config) standbyProblems() (errs Errors) {
	for i, s := range c.Standbys {
		if s.Pattern == "" {
			errs = append(errs, c.atItem("standbys", i, 0, `an empty name: write application_name, or "*" for all`))
		}
		for _, before := range c.Standbys[:i] {
			if foldASCII(before.Pattern) == foldASCII(s.Pattern) {
				errs = append(errs, c.atItem("standbys", i, 0, fmt.Sprintf("%q is listed twice", s.Pattern)))
			} else if matches(foldASCII(before.Pattern), foldASCII(s.Pattern)) {
				errs = append(errs, c.atItem("standbys", i, 0, fmt.Sprintf(
					"%q is never reached: %q before it has all its names", s.Pattern, before.Pattern)))
			}
		}
	}
	return errs
}
