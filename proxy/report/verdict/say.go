package verdict

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/config"
)

// span returns a duration in its two largest units, as 1m57s, 2h03m or 3d04h.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(0, d).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// clock returns a moment of the last day as hours and minutes, and an earlier one with its date; both of UTC.
func clock(at, now time.Time) string {
	if now.Sub(at) < 24*time.Hour {
		return at.UTC().Format("15:04")
	}
	return at.UTC().Format("2006-01-02 15:04")
}

// list joins names: "a", "a and b", "a, b and c".
func list(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func named(applicationName string) string {
	return cmp.Or(applicationName, "one without a name")
}

func quoted(name string) string { return syncrep.QuoteName(name) }

func size(n int64) string { return config.Size(n).Short() }
