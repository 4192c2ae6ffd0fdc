package handshake

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// TestWalsender: the packet that a request turns into is what Accept calls a physical walsender, with
// everything else as it was.
func TestWalsender(t *testing.T) {
	raw := []byte("\x00\x00\x00\x00\x00\x03\x00\x00user\x00u\x00database\x00d\x00replication\x00off\x00\x00")
	raw[3] = byte(len(raw))
	before := bytes.Clone(raw)
	params := Params{{"user", "u"}, {"database", "d"}, {"replication", "off"}}
	w := (&Request{Class: Regular, Major: 3, Raw: raw, Params: params}).Walsender()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	client.SetDeadline(time.Now().Add(time.Minute))
	server.SetDeadline(time.Now().Add(time.Minute))
	go client.Write(w.Raw)
	got, err := Accept(t.Context(), server, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Class != PhysicalWalsender || got.Params.Get("user") != "u" || got.Params.Get("database") != "d" ||
		!bytes.Equal(got.Raw, w.Raw) || w.Params.Get("replication") != "true" {
		t.Errorf("%+v", got)
	}
	if !bytes.Equal(raw, before) || params.Get("replication") != "off" {
		t.Error("the request itself was changed")
	}
}
