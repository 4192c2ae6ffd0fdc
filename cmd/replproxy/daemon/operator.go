package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/http"
)

// operator holds the credentials of a process that has connected to the control socket. The kernel says them.
type operator struct {
	uid, pid int64 // -1: not known
}

// operatorKey finds an operator in the context of a connection.
type operatorKey struct{}

// withOperator adds the credentials of the other end of c to ctx.
func withOperator(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, operatorKey{}, operatorOf(c))
}

// audited says in the log who asks for what changes something, before it is done.
func audited(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			who, _ := r.Context().Value(operatorKey{}).(operator)
			log.Warn("an operator's command", "command", r.URL.Path[1:], "arguments", r.URL.RawQuery,
				"uid", who.uid, "pid", who.pid)
		}
		next.ServeHTTP(w, r)
	})
}
