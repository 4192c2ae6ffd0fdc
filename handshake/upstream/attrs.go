package upstream

import (
	"errors"
	"fmt"
)

// sessionAttrs is target_session_attrs.
type sessionAttrs string

const (
	attrsAny           sessionAttrs = "any"
	attrsReadWrite     sessionAttrs = "read-write"
	attrsReadOnly      sessionAttrs = "read-only"
	attrsPrimary       sessionAttrs = "primary"
	attrsStandby       sessionAttrs = "standby"
	attrsPreferStandby sessionAttrs = "prefer-standby"
)

// Why a server was passed over, in libpq's words.
var (
	ErrStandby    = errors.New("server is in hot standby mode")
	ErrNotStandby = errors.New("server is not in hot standby mode")
	ErrReadOnly   = errors.New("session is read-only")
	ErrReadWrite  = errors.New("session is not read-only")
	ErrNoRole     = errors.New("server does not report in_hot_standby (PostgreSQL 14 or newer does)")
)

func parseSessionAttrs(text string, hosts int) (sessionAttrs, error) {
	switch a := sessionAttrs(text); a {
	case "":
		if hosts > 1 {
			return attrsPrimary, nil
		}
		return attrsAny, nil
	case attrsAny, attrsReadWrite, attrsReadOnly, attrsPrimary, attrsStandby, attrsPreferStandby:
		return a, nil
	default:
		return "", fmt.Errorf("invalid target_session_attrs value: %q", text)
	}
}

// judge returns nil for a server that will do, by the parameters that it reports, "" for one that it does not; else the
// reason, in libpq's words. Without in_hot_standby that is [ErrNoRole], but for attrsAny.
func (a sessionAttrs) judge(status func(name string) string) error {
	if a == attrsAny {
		return nil
	}
	standby := status("in_hot_standby")
	if standby == "" {
		return ErrNoRole
	}
	inRecovery := standby == "on"
	readOnly := inRecovery || status("default_transaction_read_only") == "on"
	switch {
	case a == attrsPrimary && inRecovery:
		return ErrStandby
	case (a == attrsStandby || a == attrsPreferStandby) && !inRecovery:
		return ErrNotStandby
	case a == attrsReadWrite && readOnly:
		return ErrReadOnly
	case a == attrsReadOnly && !readOnly:
		return ErrReadWrite
	}
	return nil
}
