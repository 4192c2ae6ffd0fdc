package bench

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/replproxy/replproxy/conformance/bench/limits"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// childEnv tells this program that it is one of the limits: "relay PORT SERVER", "live PORT PRIMARY", or
// "old PORT START END FILE…".
const childEnv = "REPLPROXY_TEST_CHILD"

// plainStream names the plain writer's stream of the primary.
const plainStream = "plain"

// beChild runs a limit until it is ended.
func beChild(words []string) error {
	listen, err := netip.ParseAddrPort("127.0.0.1:" + words[1])
	if err != nil {
		return err
	}
	if words[0] == "relay" {
		server, err := netip.ParseAddrPort("127.0.0.1:" + words[2])
		if err != nil {
			return err
		}
		return limits.Relay(listen, server, 2)
	}
	w := limits.WAL{}
	if words[0] == "live" {
		c, err := primaryStream("host=127.0.0.1 user=postgres dbname=postgres sslmode=disable port=" + words[2])
		if err != nil {
			return err
		}
		w.Upstream = c
	} else {
		if w.Start, err = lsn.Parse(words[2]); err != nil {
			return err
		}
		if w.End, err = lsn.Parse(words[3]); err != nil {
			return err
		}
		w.Segments = words[4:]
	}
	l, err := net.Listen("tcp", listen.String())
	if err != nil {
		return err
	}
	return w.Serve(context.Background(), l)
}

// primaryStream begins to stream at the primary's end.
func primaryStream(conninfo string) (net.Conn, error) {
	ctx := context.Background()
	pg, err := logIn(ctx, conninfo, plainStream)
	if err != nil {
		return nil, err
	}
	rows, err := pg.Exec(ctx, "IDENTIFY_SYSTEM").ReadAll()
	if err != nil {
		return nil, err
	}
	at, err := lsn.Parse(string(rows[0].Rows[0][2]))
	if err != nil {
		return nil, err
	}
	if err := pg.Close(ctx); err != nil {
		return nil, err
	}
	r, err := connectReceiver(ctx, conninfo, plainStream, at)
	if err != nil {
		return nil, err
	}
	return r.conn, nil
}

// endAsChild runs a limit if this process was started as one, and does not return then.
func endAsChild() {
	what := os.Getenv(childEnv)
	if what == "" {
		return
	}
	fmt.Fprintln(os.Stderr, beChild(strings.Fields(what)))
	os.Exit(1)
}
