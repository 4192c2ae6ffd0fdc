package report

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/replproxy/replproxy/proxy/admin"
)

// maxReason bounds the reason of one host, in bytes: it is read at a glance. The log and last_error have all of it.
const maxReason = 160

var (
	// attempt begins the result of one attempt, as handshake/upstream's ConnectError lists them.
	attempt = regexp.MustCompile(
		`^connection to server at "([^"]*)"(?:, port (\d+))?(?: \([^)]*\))?(?: with TLS)? failed: `)
	// refusal begins the refusal of a host's WAL.
	refusal = regexp.MustCompile(`^upstream host (\S+) is refused: `)
	// inner are names of calls and hosts that an error has beside the reason.
	inner = regexp.MustCompile(`^(?:connect: |dial: |lookup \S+(?: on \S+)?: |server error: |` +
		`failed to receive message: |\S+:\d+ \([^)]*\): |tls error: )+`)
)

// hostErrors returns one row for each host that an error is about: what came of the last attempt there. A host that
// failed before keeps the moment when that began.
func hostErrors(text string, before []admin.HostError, now time.Time) (all []admin.HostError) {
	if text == "" {
		return nil
	}
	for _, part := range divide(text) {
		one := admin.HostError{Since: now.UTC()}
		if m := attempt.FindStringSubmatch(part); m != nil {
			one.Host, part = m[1], part[len(m[0]):]
			if strings.Contains(m[1], ":") {
				one.Host = "[" + m[1] + "]"
			}
			if m[2] != "" {
				one.Host += ":" + m[2]
			}
		} else if m := refusal.FindStringSubmatch(part); m != nil {
			one.Host, part = m[1], part[len(m[0]):]
		}
		one.Error = reason(part)
		if i := slices.IndexFunc(before, func(e admin.HostError) bool { return e.Host == one.Host }); i >= 0 {
			one.Since = before[i].Since
		}
		at := slices.IndexFunc(all, func(e admin.HostError) bool { return e.Host == one.Host })
		if at < 0 {
			all = append(all, one)
			continue
		}
		all[at] = one // without TLS, after it was tried with
	}
	return all
}

// divide returns the parts of an error that are about one attempt each.
func divide(text string) (all []string) {
	for {
		next := -1
		for _, begin := range []string{"; connection to server at ", "; upstream host "} {
			if i := strings.Index(text, begin); i >= 0 && (next < 0 || i < next) {
				next = i
			}
		}
		if next < 0 {
			return append(all, text)
		}
		all, text = append(all, text[:next]), text[next+len("; "):]
	}
}

// reason shortens an error to what is wrong.
func reason(text string) string {
	for _, end := range []string{"; HINT: ", "; DETAIL: ", "\n"} {
		text, _, _ = strings.Cut(text, end)
	}
	text = inner.ReplaceAllString(text, "")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
