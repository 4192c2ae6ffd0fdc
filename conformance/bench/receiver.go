package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// readBuffer is large enough for one whole WAL message (128 KiB and headers).
const readBuffer = 256 * 1024

// replyEvery keeps the walsender's timeout away without adding work.
const replyEvery = time.Second

// receiver streams WAL and throws it away.
type receiver struct {
	conn    net.Conn
	r       *wire.Reader
	at      lsn.LSN
	bytes   int64
	flushed lsn.LSN // what it says that it has flushed and applied; 0: nothing
}

// connectReceiver logs in as a physical walsender client and starts streaming at start.
func connectReceiver(ctx context.Context, conninfo string, name string, start lsn.LSN) (*receiver, error) {
	cfg, err := pgconn.ParseConfig(conninfo)
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["replication"] = "true"
	cfg.RuntimeParams["application_name"] = name
	pg, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if _, err := pg.Exec(ctx, "IDENTIFY_SYSTEM").ReadAll(); err != nil {
		return nil, err
	}
	h, err := pg.Hijack()
	if err != nil {
		return nil, err
	}
	q := fmt.Sprintf("START_REPLICATION PHYSICAL %s\x00", start)
	if _, err := h.Conn.Write(wire.AppendFrame(nil, 'Q', []byte(q))); err != nil {
		return nil, err
	}
	return &receiver{conn: h.Conn, r: wire.NewReader(h.Conn, readBuffer), at: start}, nil
}

// until reads until the stream has reached target.
func (r *receiver) until(target lsn.LSN) error {
	var payload [copyboth.XLogDataHeaderSize]byte
	next := time.Now().Add(replyEvery)
	for r.at < target {
		h, err := r.r.Next()
		if err != nil {
			return fmt.Errorf("read at %s: %w", r.at, err)
		}
		if h.Type != 'd' {
			body, _ := r.r.Body(h.Size, readBuffer)
			if h.Type == 'E' {
				return fmt.Errorf("stream ended: %q", body)
			}
			continue
		}
		head := payload[:min(h.Size, len(payload))]
		if _, err := io.ReadFull(r.r, head); err != nil {
			return err
		}
		if rest := h.Size - len(head); rest > 0 {
			if err := r.r.Discard(rest); err != nil {
				return err
			}
		}
		asked := head[0] == copyboth.TagPrimaryKeepalive && head[len(head)-1] == 1
		if head[0] == copyboth.TagXLogData {
			n := h.Size - len(head)
			r.at = lsn.LSN(binary.BigEndian.Uint64(head[1:])) + lsn.LSN(n)
			r.bytes += int64(n)
		}
		if now := time.Now(); asked || now.After(next) {
			next = now.Add(replyEvery)
			if err := r.reply(); err != nil {
				return err
			}
		}
	}
	return r.reply()
}

func (r *receiver) reply() error {
	p := lsn.Progress{Write: r.at, Flush: r.flushed, Apply: r.flushed}
	m := copyboth.StatusUpdate{Progress: p, SentAt: copyboth.TimeOf(time.Now())}
	_, err := r.conn.Write(wire.AppendFrame(nil, 'd', m.Append(nil)))
	return err
}

func (r *receiver) close() { r.conn.Close() }
