package handshake

import (
	"encoding/binary"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Core is the startup phase of one connection as a pure function of its packets.
//
//	start ──SSLRequest──► ssl refused ──GSSENCRequest──► both refused ──► only a StartupMessage or
//	  └──GSSENCRequest──► gss refused ──SSLRequest─────► both refused     a CancelRequest is left
//	                                  └─SSLRequest──► TLS ──────────────► as above
//
// A repeated request is read as a protocol version and refused as such, as PostgreSQL does.
type Core struct {
	// NewestMinor is the newest minor version of protocol 3 that refusals name.
	NewestMinor uint16

	ssl, gss bool
}

// Decision is the next action after a packet. One of its fields is set; Refuse may carry Negotiate.
type Decision struct {
	// Continue: answer 'N' and read another packet, unless bytes are waiting already: then Injected.
	// With SSL the answer may be 'S' instead, and Core.Secured is told.
	Continue, SSL bool
	Injected      *pgerror.Error
	// Accept is a complete request, its Conn unset.
	Accept *Request
	// Refuse goes to the client, then the connection ends.
	Refuse *Refusal
	// Drop ends the connection without a word.
	Drop error
}

// Refusal is an error for the client as bytes will show it.
type Refusal struct {
	Err *pgerror.Error
	// Negotiate: a NegotiateProtocolVersion that PostgreSQL would have sent before the error.
	Negotiate *Negotiate
	// V2: the client spoke protocol 1 or 2, whose errors are plain text.
	V2 bool
}

// Negotiate is the content of NegotiateProtocolVersion (facts A4).
type Negotiate struct {
	Version uint32
	Options []string
}

// Step takes one whole packet, its length word included, which the caller has checked with the
// limits of this package. It keeps no reference to it except in Accept.Raw.
func (c *Core) Step(packet []byte) Decision {
	code := binary.BigEndian.Uint32(packet[lengthSize:])
	body := packet[lengthSize+minBody:]
	switch {
	case code == codeCancel:
		return c.cancel(packet, body)
	case code == codeSSL && !c.ssl:
		c.ssl = true
		return Decision{Continue: true, SSL: true, Injected: injected("received unencrypted data after SSL request")}
	case code == codeGSSENC && !c.gss:
		c.gss = true
		return Decision{Continue: true,
			Injected: injected("received unencrypted data after GSSAPI encryption request")}
	}
	return c.startup(packet, code, body)
}

// Secured says that SSLRequest was answered with 'S': an accepted request forbids the other one.
func (c *Core) Secured() { c.gss = true }

func (c *Core) cancel(packet, body []byte) Decision {
	key := len(body) - 4
	if key < minCancelKey || key > maxCancelKey {
		return Decision{Drop: ErrLength}
	}
	return Decision{Accept: &Request{
		Class: Cancel, Major: 1234, Minor: 5678, Raw: packet,
		CancelPID: binary.BigEndian.Uint32(body), CancelKey: body[4:],
		SawSSLRequest: c.ssl, SawGSSENCRequest: c.gss,
	}}
}

func (c *Core) startup(packet []byte, version uint32, body []byte) Decision {
	major, minor := uint16(version>>16), uint16(version)
	if major != 3 {
		e := pgerror.Fatal(pgerror.FeatureNotSupported,
			"unsupported frontend protocol %d.%d: server supports 3.0 to 3.%d", major, minor, c.NewestMinor)
		return Decision{Refuse: &Refusal{Err: e, V2: major < 3 && version != 0}}
	}
	params, complete := splitParams(body)
	class, e := classify(params)
	if e != nil {
		return Decision{Refuse: &Refusal{Err: e}}
	}
	if !complete {
		return Decision{Refuse: &Refusal{Err: pgerror.Fatal(pgerror.ProtocolViolation,
			"invalid startup packet layout: expected terminator as last byte")}}
	}
	if params.Get("user") == "" {
		return Decision{Refuse: &Refusal{Negotiate: c.negotiate(minor, params),
			Err: pgerror.Fatal(pgerror.InvalidAuthorization,
				"no PostgreSQL user name specified in startup packet")}}
	}
	return Decision{Accept: &Request{
		Class: class, Major: major, Minor: minor, Raw: packet, Params: params,
		SawSSLRequest: c.ssl, SawGSSENCRequest: c.gss,
	}}
}

// classify applies the replication parameter. Database is sticky, the last boolean decides. Without one a connection is
// regular. The refusal is PostgreSQL's, for a value that is no boolean.
func classify(params Params) (Class, *pgerror.Error) {
	walsender, database := false, false
	for _, p := range params {
		if p.Name != "replication" {
			continue
		}
		w, d, ok := replicationValue(p.Value)
		if !ok {
			return 0, pgerror.Fatal(pgerror.InvalidParameterValue,
				"invalid value for parameter \"%s\": \"%s\"", p.Name, p.Value).
				WithHint(`Valid values are: "false", 0, "true", 1, "database".`)
		}
		walsender, database = w, database || d
	}
	switch {
	case walsender && database:
		return LogicalWalsender, nil
	case walsender:
		return PhysicalWalsender, nil
	}
	return Regular, nil
}

// negotiate returns the message that the server itself would send first; nil when there is nothing to negotiate.
func (c *Core) negotiate(minor uint16, params Params) *Negotiate {
	return negotiate(minor, c.NewestMinor, params)
}

// negotiate returns the message by which a server refuses a minor protocol version or options that it does not know;
// nil: it knows all. Servers up to 17 know 3.0 only, 18 answers with the lower of both versions.
func negotiate(minor, newest uint16, params Params) *Negotiate {
	var options []string
	for _, p := range params {
		if strings.HasPrefix(p.Name, protocolOptionPrefix) {
			options = append(options, p.Name)
		}
	}
	if minor <= newest && options == nil {
		return nil
	}
	return &Negotiate{Version: 3<<16 | uint32(min(minor, newest)), Options: options}
}

func injected(text string) *pgerror.Error {
	return pgerror.Fatal(pgerror.ProtocolViolation, "%s", text).WithDetail(
		"This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.")
}
