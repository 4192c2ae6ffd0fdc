package main

import (
	"context"
	"net"

	"github.com/replproxy/replproxy/cluster/puller"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// viaCluster is the puller as the walreceiver sees it.
type viaCluster struct {
	up      *upstream.Config
	members *membership
}

// Connect logs in at the member that is to be streamed from.
func (v *viaCluster) Connect(ctx context.Context, params map[string]string) (*upstream.Session, error) {
	choice, err := v.members.puller.Wait(ctx)
	if err != nil || choice.Primary() {
		return nil, err
	}
	through := v.up.Through(choice.Member, func(ctx context.Context) (net.Conn, error) {
		return v.members.link.Open(ctx, choice.Member, puller.Protocol)
	})
	return through.Connect(ctx, params)
}
