package handshake

import (
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// SplitOptions cuts the options parameter into command-line words at white space. A backslash takes the next character
// literally (facts A2); at the end it is dropped. nil: there is no word.
func SplitOptions(options string) []string {
	var words []string
	var word strings.Builder
	inWord := false
	for i := 0; i < len(options); i++ {
		c := options[i]
		switch {
		case isSpace(c):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
			continue
		case c == '\\' && i+1 < len(options):
			i++
			c = options[i]
		case c == '\\':
			inWord = true
			continue
		}
		inWord = true
		word.WriteByte(c)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}

func isSpace(c byte) bool { return c == ' ' || (c >= '\t' && c <= '\r') }

const (
	// plainSwitches are a backend's switches without an argument, argumentSwitches those with one: facts A2.
	plainSwitches    = "beEFijlnOPsT"
	argumentSwitches = "BcCdDfhkNprStvW-"
)

// optionSettings returns the settings that command-line words ask for as switches, in order, up to a word that a
// backend refuses. refusal is the backend's error; the settings before it are judged first.
func optionSettings(words []string) (set []Param, refusal *pgerror.Error) {
	stranger := "" // the first word that is no switch
	before := "postgres"
	for i := 0; i < len(words); i++ {
		w := words[i]
		if w == "--" {
			if stranger == "" && i+1 < len(words) {
				stranger = words[i+1]
			}
			break
		}
		if len(w) < 2 || w[0] != '-' {
			if stranger == "" {
				stranger = w
			}
			before = w // those that are no switches are moved behind each switch that is done with
			continue
		}
		for j := 1; j < len(w); j++ {
			argument := ""
			last := j+1 == len(w)
			switch {
			case strings.IndexByte(plainSwitches, w[j]) >= 0:
			case strings.IndexByte(argumentSwitches, w[j]) < 0:
				if !last { // the system's parser of switches has not yet done with this word
					return set, errSwitch(before)
				}
				return set, errSwitch(w)
			case !last:
				argument = w[j+1:]
			case i+1 == len(words):
				return set, errSwitch(w)
			default:
				i++
				argument = words[i]
			}
			more, e := switchSettings(w[j], argument)
			if e == nil && more == nil && strings.IndexByte("ft", w[j]) >= 0 {
				e = errSwitch(words[i])
			}
			if set = append(set, more...); e != nil {
				return set, e
			}
			if strings.IndexByte(argumentSwitches, w[j]) >= 0 {
				break
			}
		}
		if stranger == "" {
			before = words[i]
		}
	}
	if stranger != "" {
		return set, errSwitch(stranger)
	}
	return set, nil
}

func errSwitch(word string) *pgerror.Error {
	return pgerror.Fatal(pgerror.SyntaxError, "invalid command-line argument for server process: %s", word).
		WithHint(`Try "postgres --help" for more information.`)
}

// switchSettings returns the settings behind one switch. A dash inside a name stands for an underscore. The refusal is
// that of a backend: for a switch that it does not have, or without its value.
func switchSettings(letter byte, argument string) ([]Param, *pgerror.Error) {
	one := func(name, value string) ([]Param, *pgerror.Error) { return []Param{{name, value}}, nil }
	switch letter {
	case 'c', '-':
		name, value, ok := strings.Cut(argument, "=")
		if !ok {
			dash := map[byte]string{'c': "-c ", '-': "--"}[letter]
			return nil, pgerror.Fatal(pgerror.SyntaxError, "%s%s requires a value", dash, argument)
		}
		return one(strings.ReplaceAll(name, "-", "_"), value)
	case 'B':
		return one("shared_buffers", argument)
	case 'd':
		return debugSettings(argument), nil
	case 'e':
		return one("datestyle", "euro")
	case 'F':
		return one("fsync", "false")
	case 'f':
		return named(argument, map[string]string{
			"s": "enable_seqscan", "i": "enable_indexscan", "o": "enable_indexonlyscan", "b": "enable_bitmapscan",
			"t": "enable_tidscan", "n": "enable_nestloop", "m": "enable_mergejoin", "h": "enable_hashjoin",
		}, "false"), nil
	case 'h':
		return one("listen_addresses", argument)
	case 'i':
		return one("listen_addresses", "*")
	case 'k':
		return one("unix_socket_directories", argument)
	case 'l':
		return one("ssl", "true")
	case 'N':
		return one("max_connections", argument)
	case 'O':
		return one("allow_system_table_mods", "true")
	case 'P':
		return one("ignore_system_indexes", "true")
	case 'p':
		return one("port", argument)
	case 'S':
		return one("work_mem", argument)
	case 's':
		return one("log_statement_stats", "true")
	case 't':
		return named(argument, map[string]string{
			"pa": "log_parser_stats", "pl": "log_planner_stats", "e": "log_executor_stats",
		}, "true"), nil
	case 'W':
		return one("post_auth_delay", argument)
	}
	return nil, nil // of no effect on a backend
}

// named returns the setting whose key the argument begins with; nil for none.
func named(argument string, names map[string]string, value string) []Param {
	for key, name := range names {
		if strings.HasPrefix(argument, key) {
			return []Param{{name, value}}
		}
	}
	return nil
}

// debugSettings returns the settings that -d asks for: the level of the log, and from some on what is logged besides.
func debugSettings(argument string) []Param {
	level := leadingNumber(argument)
	if level <= 0 {
		return []Param{{"log_min_messages", "notice"}}
	}
	set := []Param{{"log_min_messages", "debug" + strconv.Itoa(level)}}
	for i, p := range []Param{
		{"log_statement", "all"}, {"debug_print_parse", "true"}, {"debug_print_plan", "true"},
		{"debug_print_rewritten", "true"},
	} {
		if level >= i+2 {
			set = append(set, p)
		}
	}
	return set
}

// leadingNumber returns the number that a text begins with, 0 for none.
func leadingNumber(s string) int {
	digits := strings.TrimPrefix(strings.TrimLeft(s, " \t\n\v\f\r"), "+")
	n := 0
	for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' && n < 9 {
		n++
	}
	v, err := strconv.Atoi(digits[:n])
	if err != nil {
		return 0
	}
	return v
}
