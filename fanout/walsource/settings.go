package walsource

import (
	"context"
	"fmt"
	"strconv"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// readSettings asks for all of them and sets those of srv. Without a size of segments and a version it is an error.
func readSettings(ctx context.Context, s Conn, srv *server) (err error) {
	if srv.settings, err = s.Settings(ctx, walreceiver.Settings()); err != nil {
		return err
	}
	if srv.seg, err = lsn.ParseSegSize(srv.settings["wal_segment_size"]); err != nil {
		return fmt.Errorf("read settings: wal_segment_size: %w", err)
	}
	version := srv.settings["server_version_num"]
	if srv.version, err = strconv.Atoi(version); err != nil {
		if srv.version = versionNum(s.Parameters()["server_version"]); srv.version == 0 {
			return fmt.Errorf("read settings: %w: server_version_num %q", walreceiver.ErrProtocol, version)
		}
	}
	return nil
}

// toldByPrimary reports whether the parameters of a member are those that a primary reported to it. A member that has
// not heard from one since its start has no others than its WAL tells.
func toldByPrimary(parameters map[string]string) bool { return parameters["server_encoding"] != "" }

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
