package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// anyHost among the names allows all.
const anyHost = "*"

// hosts lists the names by which a browser may ask in clear. A page of another site can point a name of its own at this
// address (DNS rebinding). Its scripts then could read what is served here, but their requests say that name.
type hosts []string

// allow reports whether a request may be answered. An address is no name, and localhost is nobody's. Over TLS the
// certificate is the guard.
func (h hosts) allow(r *http.Request) bool {
	if r.TLS != nil || r.Host == "" || slices.Contains(h, anyHost) {
		return true
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || name == "localhost" {
		return true
	}
	return slices.ContainsFunc(h, func(allowed string) bool {
		return strings.EqualFold(strings.TrimSuffix(allowed, "."), name)
	})
}

// guard refuses requests by other names, except of the probes, which tell nothing.
func (h hosts) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz", "/readyz":
		default:
			if !h.allow(r) {
				text(w, http.StatusMisdirectedRequest,
					fmt.Sprintf("%.100q is not a name of this proxy: see http_hosts", r.Host))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
