package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/replproxy/replproxy/handshake"
	"github.com/replproxy/replproxy/handshake/clienttls"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
)

// certificateEnds is the time before the end of the certificate at which a warning begins. Most are renewed 30 days
// before, so one that is not has been forgotten.
const certificateEnds = 14 * 24 * time.Hour

func tlsStatus(s clienttls.Status) admin.TLS {
	return admin.TLS{
		Mode: s.Mode, ClientCert: s.ClientCert, Subject: s.Subject, NotAfter: s.NotAfter, SHA256: s.SHA256,
		LoadedAt: s.LoadedAt, LastError: s.LastError,
	}
}

// sslRows returns the encrypted legs, the stream first, then walsenders, then the others by age.
func sslRows(stream *handshake.SSL, sessions []proxy.SessionInfo) []admin.SSL {
	all := []admin.SSL{}
	add := func(pid int32, user, leg string, s *handshake.SSL) {
		if s != nil && len(all) < admin.MaxSSL {
			all = append(all, admin.SSL{PID: pid, Leg: leg, User: user,
				Version: s.Version, Cipher: s.Cipher, Bits: s.Bits, PeerDN: s.PeerDN})
		}
	}
	add(0, "", "upstream", stream)
	rank := func(s proxy.SessionInfo) int {
		if s.Class == handshake.Regular {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(sessions, func(a, b proxy.SessionInfo) int { return rank(a) - rank(b) })
	for _, s := range sessions {
		add(s.PID, s.User, "client", s.SSL)
		add(s.PID, s.User, "upstream", s.UpstreamSSL)
	}
	return all
}

func tlsWarnings(s clienttls.Status, now time.Time) (all []string) {
	if s.LastError != "" {
		all = append(all, "the TLS files have changed and cannot be used, the ones before stay in use: "+s.LastError)
	}
	if left := s.NotAfter.Sub(now); !s.NotAfter.IsZero() && left < certificateEnds {
		all = append(all, fmt.Sprintf("the certificate that clients see ends at %s: renew tls.cert_file",
			s.NotAfter.UTC().Format(time.RFC3339)))
	}
	return all
}
