package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/cmd/replproxy/daemon"
	"github.com/replproxy/replproxy/conformance/pgtest"
)

// TestOperatorsAreNamed: who has asked for what changes something stands in the log.
func TestOperatorsAreNamed(t *testing.T) {
	t.Parallel()
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: "host=127.0.0.1 port=1 user=x", NoWait: true})
	socket := filepath.Join(proxy.DataDir, daemon.ControlSocket)
	pgtest.WaitFor(t, programLimit, "the control socket", func() (bool, error) {
		_, err := os.Stat(socket)
		return err == nil && strings.Contains(proxy.Log(), "listening for"), nil
	})
	info, err := os.Stat(proxy.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Program(t, "drop-rule", "--data-dir", proxy.DataDir)
	_, _, _ = program(t, nil, "forget", "nobody", "--data-dir", proxy.DataDir) // by this test's user, in vain
	for _, want := range []string{
		fmt.Sprintf(`command=drop-rule arguments="" uid=%d pid=`, info.Sys().(*syscall.Stat_t).Uid),
		fmt.Sprintf(`command=forget arguments="node=nobody" uid=%d pid=`, os.Geteuid()),
	} {
		if !strings.Contains(proxy.Log(), want) {
			t.Errorf("no %s in\n%s", want, proxy.Log())
		}
	}
}
