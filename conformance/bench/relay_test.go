package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// BenchmarkRelay: pgbench -S with 16 clients, straight, through HAProxy in TCP mode, through replproxy.
func BenchmarkRelay(b *testing.B) {
	w := newWorld(b)
	dir := w.in.TempDir(b)
	w.in.RunTool(b, dir, "pgbench", "-i", "-s", "10", "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(w.primary.Port), "-U", "postgres", "postgres")
	ports := []struct {
		name string
		port int
	}{{"direct", w.primary.Port}, {"haproxy", startHAProxy(b, w.primary.Port)}, {"replproxy", w.proxy.Port}}
	seconds := 8
	if scale() < 1024 {
		seconds = 2
	}
	for _, clients := range []int{1, 16} {
		tps := map[string][]float64{}
		for range rounds {
			for _, p := range ports {
				out := w.in.RunTool(b, dir, "pgbench", "-S", "-n", "-c", strconv.Itoa(clients), "-j", "2", "-T", strconv.Itoa(seconds),
					"-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "postgres", "postgres")
				m := tpsLine.FindStringSubmatch(out)
				if m == nil {
					b.Fatalf("no tps in %q", out)
				}
				v, _ := strconv.ParseFloat(m[1], 64)
				tps[p.name] = append(tps[p.name], v)
			}
		}
		d, h, r := median(tps["direct"]), median(tps["haproxy"]), median(tps["replproxy"])
		fmt.Printf("\npgbench -S -c %d, %d s, median of %d rounds, transactions per second\n"+
			"direct %.0f   haproxy %.0f   replproxy %.0f   replproxy/direct %.2f   replproxy/haproxy %.2f\n",
			clients, seconds, rounds, d, h, r, r/d, r/h)
		b.ReportMetric(r/h, fmt.Sprintf("vs-haproxy-%d", clients))
	}
}

// startHAProxy runs HAProxy in TCP mode in front of port, with as many threads as it likes (its default).
func startHAProxy(b *testing.B, port int) int {
	listen := pgtest.FreePort(b)
	cfg := fmt.Sprintf("global\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n"+
		"listen pg\n  bind 127.0.0.1:%d\n  server p 127.0.0.1:%d\n", listen, port)
	path := filepath.Join(b.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(cfg), 0o600); err != nil {
		b.Fatal(err)
	}
	bin, err := exec.LookPath("haproxy")
	if err != nil {
		bin = "/usr/sbin/haproxy"
	}
	cmd := exec.Command(bin, "-db", "-f", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.Fatalf("start haproxy: %v", err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pgtest.WaitFor(b, 10*time.Second, "haproxy to listen", func() (bool, error) {
		_, err := pgtest.Query(b.Context(), fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres", listen), "SELECT 1")
		return err == nil, nil
	})
	return listen
}
