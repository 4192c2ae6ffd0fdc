package config

import "strings"

// maxTypo bounds the letters that may differ for a key to be suggested.
const maxTypo = 3

// nearest returns the known key or section that looks most like path, or "".
func nearest(path string) string {
	best, distance := "", maxTypo+1
	for _, k := range keys {
		section, _, _ := strings.Cut(k.path, ".")
		for _, candidate := range []string{k.path, section} {
			if n := editDistance(path, candidate); candidate != "" && n < distance {
				best, distance = candidate, n
			}
		}
	}
	return best
}

// editDistance returns Levenshtein's distance of two short ASCII texts.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal, row[j] = row[j], min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
