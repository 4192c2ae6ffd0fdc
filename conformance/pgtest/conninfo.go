package pgtest

import (
	"fmt"
	"strings"
)

// Conninfo returns a libpq connection string for the server over TCP; extra is appended, and later
// keywords win.
func (s *Server) Conninfo(extra ...string) string {
	return conninfo(s.host.address(), s.Port, s.Password, extra)
}

// near returns the conninfo by which the test itself reaches the server.
func (s *Server) near(extra ...string) string {
	if s.host != nil {
		return s.SocketConninfo(extra...)
	}
	return s.Conninfo(extra...)
}

// SocketConninfo returns a connection string for the unix socket, where everybody is trusted.
func (s *Server) SocketConninfo(extra ...string) string {
	return conninfo(s.SocketDir, s.Port, "", extra)
}

func conninfo(host string, port int, password string, extra []string) string {
	words := []string{
		"host=" + host, fmt.Sprintf("port=%d", port), "user=postgres", "dbname=postgres", "sslmode=disable",
	}
	if password != "" {
		words = append(words, "password="+password)
	}
	return strings.Join(append(words, extra...), " ")
}
