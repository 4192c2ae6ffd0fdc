package report

import (
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/proxy/admin"
)

// sourcesStatus lists the sources of WAL. streaming: WAL comes now.
func sourcesStatus(all []walsource.SourceStatus, streaming bool) (rows []admin.Origin) {
	for _, s := range all {
		rows = append(rows, admin.Origin{
			Source: string(s.Rung), Streams: s.Streams && streaming, Opened: int64(s.Opened),
			Fetched: int64(s.Fetched), LastError: s.LastError,
		})
	}
	return rows
}
