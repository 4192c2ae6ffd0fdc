package admin

// RefusalReasons lists why connections become no session, in the order of proxy.Reasons:
//
//   - silent: it said nothing, as health checks do
//   - startup: it said nothing that PostgreSQL would go on with, or TLS failed
//   - timeout: it sent no startup packet within authentication_timeout
//   - crowded: it was dropped for others before it had logged in
//   - access: a rule, tls.mode or clientcert refused it
//   - connections, address, logins: the limits of all connections, of one address and of log-ins
func RefusalReasons() []string {
	return []string{"silent", "startup", "timeout", "crowded", "access", "connections", "address", "logins"}
}

func single(f func(*Status) float64) func(*Status, func(string, float64)) {
	return func(s *Status, emit func(string, float64)) { emit("", f(s)) }
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func maxLagBytes(s *Status) float64 {
	lag := int64(0)
	for i := range s.Standbys {
		lag = max(lag, s.Standbys[i].LagBytes)
	}
	return float64(lag)
}

func longest(s *Status, of func(*Standby) *float64) float64 {
	most := 0.0
	for i := range s.Standbys {
		if v := of(&s.Standbys[i]); v != nil {
			most = max(most, *v)
		}
	}
	return most
}

// forgotten counts the primary's idle slots that neither this proxy nor a member that is heard looks after. held is the
// WAL that one of them holds, in bytes: of the one that holds most.
func forgotten(s *Status) (n int, held int64) {
	for _, i := range s.Idle {
		if i.Real == "" && i.Member == "" {
			n++
			held = max(held, i.HeldBytes)
		}
	}
	return n, held
}
