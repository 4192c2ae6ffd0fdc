package handshake

import "strings"

// SplitOptions cuts the options parameter into command-line words at white space. A backslash takes
// the next character literally (facts A2).
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

// optionSettings picks -c name=value, -cname=value and --name=value out of command-line words. A
// dash inside a name stands for an underscore. Other switches are the server's business.
func optionSettings(words []string) []Param {
	var set []Param
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-c" && i+1 < len(words):
			i++
			w = words[i]
		case strings.HasPrefix(w, "--"):
			w = w[2:]
		case strings.HasPrefix(w, "-c"):
			w = w[2:]
		default:
			continue
		}
		if name, value, ok := strings.Cut(w, "="); ok {
			set = append(set, Param{strings.ReplaceAll(name, "-", "_"), value})
		}
	}
	return set
}

func isSpace(c byte) bool { return c == ' ' || (c >= '\t' && c <= '\r') }
