package show

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/config"
)

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// Position returns X/X, or a dash for 0, while it is not known.
func Position(l lsn.LSN) string {
	if l == lsn.Invalid {
		return "-"
	}
	return l.String()
}

// Lag returns a time in seconds for a narrow column, a dash for nil, while it is not known.
func Lag(seconds *float64) string {
	switch {
	case seconds == nil:
		return "-"
	case *seconds < 1:
		return fmt.Sprintf("%.1fms", *seconds*1000)
	}
	return fmt.Sprintf("%.1fs", *seconds)
}

func since(from, now time.Time) string {
	if from.IsZero() {
		return "-"
	}
	return max(0, now.Sub(from)).Round(time.Second).String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Clean replaces whatever a terminal would act on.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Bytes returns an amount for readers.
func Bytes(n int64) string { return config.Size(n).Short() }
