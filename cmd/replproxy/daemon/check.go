package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/handshake/access"
	"github.com/replproxy/replproxy/handshake/clienttls"
	"github.com/replproxy/replproxy/handshake/roles"
	"github.com/replproxy/replproxy/handshake/upstream"
	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy/config"
)

// Findings holds the outcome of [Check].
type Findings struct {
	Checks []preflight.Check
	Facts  preflight.Facts // about the upstream
	Fixes  []preflight.Fix
}

// Check judges the configuration, the upstream and the data directory as Run would find them, and the standbys whose
// conninfos are given. file is that of the configuration, "" for none.
func Check(ctx context.Context, c *config.Config, file string, standbys []string) (*Findings, error) {
	up, secure, err := judge(c)
	if err != nil {
		return nil, err
	}
	s := setup(c, up, secure.Certificate())
	facts := preflight.Gather(ctx, up, s)
	s.MinFree = c.WAL.MinFree.Of(facts.Disk.Total)
	found := &Findings{Facts: facts}
	found.Checks = append(preflight.Judge(s, facts), exposureChecks(c, up, file, os.Geteuid())...)
	var all []preflight.Standby
	for _, conninfo := range standbys {
		b := preflight.AskStandby(ctx, conninfo)
		all = append(all, b)
		found.Checks = append(found.Checks, preflight.JudgeStandby(s, facts, b, ports(c.Listen))...)
	}
	found.Fixes = preflight.Fixes(s, facts, all)
	return found, nil
}

// CheckRule checks the rule as a whole; the error names the key that is wrong.
func CheckRule(c *config.Config) error {
	if _, err := ledger.Parse(ruleText(c)); err != nil {
		return c.At(config.ZonesKey, err)
	}
	return nil
}

// judge reads the files and settings that the configuration names. An error says that the configuration is unusable.
func judge(c *config.Config) (up *upstream.Config, secure *clienttls.Reloader, err error) {
	if up, err = parseUpstream(c); err != nil {
		return nil, nil, err
	}
	if secure, err = openTLS(c, slog.New(slog.DiscardHandler)); err != nil {
		return nil, nil, err
	}
	if err = readKeys(c); err != nil {
		return nil, nil, err
	}
	_, _, err = openHTTP(c, slog.New(slog.DiscardHandler))
	return up, secure, err
}

// parseUpstream reads the conninfo; what is wrong with it is unusable configuration.
func parseUpstream(c *config.Config) (*upstream.Config, error) {
	up, err := upstream.Parse(c.Upstream.Conninfo)
	if err != nil {
		return nil, UnusableError{fmt.Errorf("unusable configuration\n%w", c.At("upstream.conninfo", err))}
	}
	return up, nil
}

// openTLS reads the files that the tls keys name; what is wrong with them is unusable configuration.
func openTLS(c *config.Config, log *slog.Logger) (*clienttls.Reloader, error) {
	k, err := clienttls.New(tlsSettings(c), log)
	var file *clienttls.FileError
	if errors.As(err, &file) {
		err = UnusableError{fmt.Errorf("unusable configuration\n%w", c.At("tls."+file.Key, err))}
	}
	return k, err
}

// openRoles opens the cache of roles by which clients are verified. It completes o by the configuration. With
// auth.method: relay it returns nil.
func openRoles(c *config.Config, o roles.Options) (*roles.Lookup, error) {
	if c.Auth.Method != config.MethodSCRAM {
		return nil, nil
	}
	o.Query, o.File, o.Dir = c.Auth.Query, c.Auth.UsersFile, filepath.Join(c.DataDir, "auth")
	o.TTL, o.MaxAge = c.Auth.CacheTTL, c.Auth.CacheMaxAge
	k, err := roles.Open(o)
	var file *roles.FileError
	if errors.As(err, &file) {
		err = UnusableError{fmt.Errorf("unusable configuration\n%w", c.At("auth.users_file", err))}
	}
	if err == nil {
		k.Expect(c.AccessSet().Verified())
	}
	return k, err
}

func tlsSettings(c *config.Config) clienttls.Settings {
	return clienttls.Settings{
		Mode: c.TLS.Mode, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile, ClientCAFile: c.TLS.ClientCAFile,
		ClientCert: c.TLS.ClientCert, ClientName: c.TLS.ClientName,
		CRLFile: c.TLS.CRLFile, CRLDir: c.TLS.CRLDir, MinVersion: c.TLS.MinVersion,
	}
}

// setup tells preflight how the proxy is configured. certificate is the one that clients see, in DER; nil without TLS.
func setup(c *config.Config, up *upstream.Config, certificate []byte) preflight.Setup {
	return preflight.Setup{
		Name: c.Name, User: up.User(), Database: up.Database(), Slot: c.SlotName(), NewStore: isNewStore(c),
		DataDir: c.DataDir, KeepSize: int64(c.WAL.KeepSize),
		MaxUpstreamWalsenders: c.Auth.MaxUpstreamWalsenders, Rule: c.SynchronousStandbyNames,
		RuleText: ruleText(c), Mirror: c.Slots.Mirror, RuleGate: c.Slots.RuleGate, Report: c.WAL.Report,
		FeedbackMaxAge: c.Feedback.MaxAge, AuthMethod: c.Auth.Method, TLSMode: c.TLS.Mode,
		Certificate: certificate,
		AuthQuery:   c.Auth.Query, AccessRules: accessRules(c), AccessPhysical: admitPhysical(c),
		Access:  c.AccessSet().All(),
		UnixLeg: slices.ContainsFunc(up.Endpoints(), upstream.Endpoint.Unix),
		Members: memberNames(c), MemberSlots: memberSlots(c), LoopbackOnly: tcpopt.LoopbackOnly(c.Listen),
		ViaCluster: c.Upstream.Pulls(),
	}
}

// accessRules counts the rules of all listeners.
func accessRules(c *config.Config) int {
	n := len(c.Access)
	for _, l := range c.ListenAccess {
		n += len(l.Rules)
	}
	return n
}

// memberSlots returns the slots of the other members on the primary, unless their upstream.slot says another name.
func memberSlots(c *config.Config) (all []string) {
	for _, name := range memberNames(c) {
		all = append(all, config.DefaultSlot(name))
	}
	return all
}

// admitPhysical reports whether rules of any listener let physical walsenders in.
func admitPhysical(c *config.Config) bool {
	return slices.ContainsFunc(c.AccessSet().All(), (*access.Rules).AdmitPhysical)
}

// ports returns those of the addresses on which the proxy listens by TCP.
func ports(listen []string) (all []string) {
	for _, a := range listen {
		if _, port, err := net.SplitHostPort(a); err == nil {
			all = append(all, port)
		}
	}
	return all
}
