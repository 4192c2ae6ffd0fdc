package sql

import "github.com/replproxy/replproxy/grammar/pgerror"

// like reports whether a text is as a pattern, in which % stands for any and _ for one character.
func like(text, wanted string, steps *Steps) bool {
	s, pattern := []rune(text), []rune(wanted)
	// at and restart are where to go on when a character does not match: one character further behind the last %.
	i, j, at, restart := 0, 0, -1, 0
	for i < len(s) || j < len(pattern) {
		steps.spend(1)
		if j < len(pattern) {
			c, step := pattern[j], 1
			switch {
			case c == '%':
				at, restart = j, i
				j++
				continue
			case i < len(s) && c == '_':
				i, j = i+1, j+1
				continue
			case c == '\\' && i < len(s):
				if j+1 == len(pattern) {
					fault(0, pgerror.InvalidEscape, "LIKE pattern must not end with escape character")
				}
				c, step = pattern[j+1], 2
			}
			if i < len(s) && s[i] == c {
				i, j = i+1, j+step
				continue
			}
		}
		if at < 0 || restart >= len(s) {
			return false
		}
		restart++
		i, j = restart, at+1
	}
	return true
}
