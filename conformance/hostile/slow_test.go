package hostile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
)

// slowKinds are peers that send a byte a second. Each begins, and gives what it will take minutes to say.
func slowKinds() map[string]func(p *peer) []byte {
	pad := strings.Repeat("0", 300)
	return map[string]func(p *peer) []byte{
		"startup packet": func(p *peer) []byte {
			p.dial()
			return parameters("user", "postgres", "application_name", pad)
		},
		"startup packet of a walsender": func(p *peer) []byte {
			p.dial()
			return parameters("user", "postgres", "replication", "true", "application_name", pad)
		},
		"startup packet, unix socket": func(p *peer) []byte {
			p.dial(p.w.socket())
			return parameters("user", "postgres", "application_name", pad)
		},
		"TLS handshake": func(p *peer) []byte {
			p.dial().send(startup(sslRequest)).byteIs('S')
			return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + pad)
		},
		"answer of an application": func(p *peer) []byte {
			p.begin()
			return initial(scram, clientNone+pad)
		},
		"answer of a walsender": func(p *peer) []byte {
			p.begin("replication", "true")
			return initial(scram, clientNone+pad)
		},
		"command": func(p *peer) []byte {
			p.logIn("replication=true")
			return query("START_REPLICATION PHYSICAL 0/0" + pad)
		},
		"report within a stream": func(p *peer) []byte {
			p.stream("application_name=slow")
			return frame('d', string(copyboth.StatusUpdate{}.Append(nil))+pad)
		},
		"upload of an application": func(p *peer) []byte {
			p.logIn().query("CREATE TEMP TABLE c (x text)").await('Z')
			p.query("COPY c FROM STDIN").await('G')
			return frame('d', pad)
		},
		"http header": func(p *peer) []byte {
			p.dial(p.w.http())
			return []byte("GET /status HTTP/1.1\r\nX: " + pad)
		},
		"handshake of a member": func(p *peer) []byte {
			p.dial(p.w.cluster)
			return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + pad)
		},
	}
}

// startSlow starts several of each kind; stop ends them and gives what went wrong.
func startSlow(ctx context.Context, w *world, each int) (stop func() []error) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	kinds := slowKinds()
	for i, name := range slices.Sorted(maps.Keys(kinds)) {
		from := fmt.Sprintf("127.0.0.%d", 100+i) // each its own: addresses take turns at log-ins of walsenders
		for range each {
			all.Go(func() {
				if err := trickle(ctx, w, from, kinds[name]); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, fmt.Errorf("a byte a second, %s: %w", name, err))
				}
			})
		}
	}
	return func() []error {
		cancel()
		all.Wait()
		return errs
	}
}

// trickle sends a byte a second, and from the start again when the proxy has had enough.
func trickle(ctx context.Context, w *world, from string, begin func(p *peer) []byte) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := trickleOnce(ctx, w, from, begin, tick.C); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func trickleOnce(
	ctx context.Context, w *world, from string, begin func(p *peer) []byte, tick <-chan time.Time,
) error {
	start, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	p := &peer{w: w, ctx: start, port: w.proxy.Port, from: from}
	defer p.close()
	b := begin(p)
	if p.err != nil {
		return p.err
	}
	_ = p.conn.SetDeadline(time.Time{})
	for i := range b {
		if _, err := p.conn.Write(b[i : i+1]); err != nil {
			return nil // it is not waited for any more
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
