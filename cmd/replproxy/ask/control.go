package ask

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// Timeout bounds a question to the control socket, for the fsync of a promise and of the WAL received before it.
	Timeout = time.Minute
	// Unreached lists likely reasons for a control socket on which nobody answers.
	Unreached = "is it running, are you its user or root, and is -c or --data-dir the proxy's?"
)

// Refused is a running proxy's answer.
type Refused string

func (e Refused) Error() string { return string(e) }

// Control asks the control socket of a running proxy, and returns its answer, or its [Refused].
func Control(ctx context.Context, socket, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	var d net.Dialer
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://replproxy"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxStatus))
	if err == nil && res.StatusCode != http.StatusOK {
		err = Refused(strings.TrimSpace(string(body)))
	}
	return body, err
}
