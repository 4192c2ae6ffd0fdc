package bench

import (
	"crypto/x509/pkix"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// Columns of TLS.
const (
	tlsCost   = "of it for TLS, s/GB"
	tlsFactor = "times AES-GCM"
)

// speedLine finds in the output of openssl speed thousands of bytes per second.
var speedLine = regexp.MustCompile(`(?m)^AES-128-GCM +([0-9.]+)k`)

// sealing returns the CPU seconds that openssl needs to encrypt a GB in records of 16 kB, by AES-128-GCM.
func sealing(b *testing.B) float64 {
	out, err := exec.Command("openssl", "speed", "-evp", "aes-128-gcm", "-bytes", "16384", "-seconds", "1").Output()
	m := speedLine.FindSubmatch(out)
	if err != nil || m == nil {
		b.Fatalf("openssl speed: %v\n%s", err, out)
	}
	v, _ := strconv.ParseFloat(string(m[1]), 64)
	return 1e9 / (v * 1000)
}

// BenchmarkTLS: old and live WAL in clear and over TLS, and the CPU time that only the latter costs. Beside it stands
// that of AES-128-GCM itself for the same bytes, by openssl speed in the same rounds.
func BenchmarkTLS(b *testing.B) {
	a := newArena(b, direct)
	cert := pgtest.NewAuthority(b, "bench").Issue(b, pkix.Name{CommonName: "bench"}, "127.0.0.1")
	a.primary.TLS(b, cert)
	a.primary.Reload()
	p := pgtest.StartProxy(b, pgtest.ProxyOptions{
		Name: ours, Upstream: a.primary.Conninfo("dbname=postgres"),
		Config: fmt.Sprintf("tls: {mode: allow, cert_file: %s, key_file: %s}\n", cert.CertFile, cert.KeyFile) + proxyConfig(ours, ""),
	})
	a.targets = append(a.targets, &target{name: ours, port: p.Port, pid: p.PID(), stream: ours, proxy: p})
	start, end := a.fill(scale())
	r := newResults("TLS, AES-128-GCM; "+cpuPerGB+" is that of who sends", "WAL, standbys",
		column{name: receivedPerS}, column{cpuPerGB, true}, column{name: tlsCost}, column{name: tlsFactor})
	for round := range rounds() {
		seal := sealing(b)
		for _, n := range []int{1, 4} {
			for _, t := range a.inTurn(round) {
				clear := map[string]float64{}
				for _, over := range []bool{false, true} {
					x := *t
					x.tls = over
					a.measure(r, fmt.Sprintf("old, %d, %s", n, x.protection()), &x, func(stop func() usage) figures {
						took, bytes := a.receive(x.conninfo(), n, start, min(end, start+512<<20))
						u, gb := stop(), float64(bytes)/1e9
						spent := u.other
						if x.pid == 0 {
							spent = u.primary // its walsenders have ended
						}
						return tlsFigures(clear, "old", over, 1000*gb/took.Seconds(), spent.Seconds()/gb, seal)
					})
					name := fmt.Sprintf("live %d MB/s, %d, %s", liveRate, 4*n, x.protection())
					a.measure(r, name, &x, func(stop func() usage) figures {
						f := a.liveRound(&x, 4*n, liveRate*1e6, 100, time.Duration(seconds(4))*time.Second, stop)
						share := f[targetIn]
						if x.pid == 0 {
							share = f[sendersIn]
						}
						sent := f[gotIn] * float64(4*n)
						return tlsFigures(clear, "live", over, sent, share/100/sent*1000, seal)
					})
				}
			}
		}
	}
	r.print()
}

// tlsFigures returns the figures of one measurement: MB/s, and the CPU seconds of a GB. clear keeps what the same WAL
// costs without TLS.
func tlsFigures(clear map[string]float64, wal string, over bool, rate, cost, seal float64) figures {
	f := figures{receivedPerS: rate, cpuPerGB: cost}
	if !over {
		clear[wal] = cost
		return f
	}
	f[tlsCost], f[tlsFactor] = cost-clear[wal], (cost-clear[wal])/seal
	return f
}

// protection tells how clients reach the target.
func (t *target) protection() string {
	if t.tls {
		return "over TLS"
	}
	return "in clear"
}
