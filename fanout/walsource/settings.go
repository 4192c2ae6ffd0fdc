package walsource

import (
	"context"
	"fmt"
	"strconv"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// readSettings asks for all of them in one round trip.
func readSettings(ctx context.Context, s *upstream.Session, srv *server) error {
	var commands []string
	for _, name := range walreceiver.Settings() {
		commands = append(commands, "SHOW "+name)
	}
	answers, err := s.QueryAll(ctx, commands...)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	srv.settings = map[string]string{}
	for i, name := range walreceiver.Settings() {
		if v, ok := single(answers[i]); ok {
			srv.settings[name] = v
		}
	}
	if srv.seg, err = lsn.ParseSegSize(srv.settings["wal_segment_size"]); err != nil {
		return fmt.Errorf("read settings: wal_segment_size: %w", err)
	}
	version := srv.settings["server_version_num"]
	if srv.version, err = strconv.Atoi(version); err != nil {
		if srv.version = versionNum(s.Parameters["server_version"]); srv.version == 0 {
			return fmt.Errorf("read settings: %w: server_version_num %q", walreceiver.ErrProtocol, version)
		}
	}
	return nil
}

// single is the value of an answer of one row and one column.
func single(a upstream.Answer) (string, bool) {
	if a.Err != nil || len(a.Results) != 1 || len(a.Results[0].Rows) != 1 || len(a.Results[0].Rows[0]) != 1 {
		return "", false
	}
	return string(a.Results[0].Rows[0][0]), true
}

// versionNum turns "15.20 (Debian 15.20-1)" or "18beta1" into server_version_num; 0 for no version.
func versionNum(text string) int {
	i := 0
	number := func() (n int) {
		for ; i < len(text) && '0' <= text[i] && text[i] <= '9' && n < 10_000; i++ {
			n = n*10 + int(text[i]-'0')
		}
		return n
	}
	major, minor := number(), 0
	if i < len(text) && text[i] == '.' {
		i++
		minor = number()
	}
	return major*10000 + minor
}
