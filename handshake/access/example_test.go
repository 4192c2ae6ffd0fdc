package access_test

import (
	"fmt"
	"net/netip"

	"github.com/replproxy/replproxy/handshake/access"
)

// The first rule that matches decides. A physical walsender matches the word replication only.
func ExamplePolicy_Decide() {
	rules, err := access.Parse([]string{
		"hostssl replication repl 10.0.0.0/8 scram-sha-256",
		"host    all         all  0.0.0.0/0  relay",
	})
	if err != nil {
		panic(err)
	}
	policy := access.Policy{Rules: rules, SCRAM: true}
	standby := access.Facts{Physical: true, User: "repl", Client: netip.MustParseAddr("10.1.2.3"), TLS: true}
	fmt.Println(policy.Decide(standby).Method)
	standby.TLS = false
	fmt.Println(policy.Decide(standby).Refusal)
	// Output:
	// scram-sha-256
	// no pg_hba.conf entry for replication connection from host "10.1.2.3", user "repl", no encryption (SQLSTATE 28000): no access rule matches
}
