package gossip

import (
	"bytes"
	"context"
	"log/slog"
)

// logWriter turns memberlist's lines, "date time [LEVEL] memberlist: text", into records.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(b []byte) (int, error) {
	level, text := slog.LevelInfo, bytes.TrimSpace(b)
	for mark, l := range map[string]slog.Level{
		"[DEBUG] ": slog.LevelDebug, "[WARN] ": slog.LevelWarn, "[ERR] ": slog.LevelWarn, "[INFO] ": slog.LevelInfo,
	} {
		if _, after, ok := bytes.Cut(text, []byte(mark)); ok {
			level, text = l, bytes.TrimPrefix(after, []byte("memberlist: "))
			break
		}
	}
	w.log.Log(context.Background(), level, "gossip: "+string(text))
	return len(b), nil
}
