package scramauth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxServerMessage bounds a message of the primary within the exchange: its salt may be long, the nonce too.
const maxServerMessage = 4 << 10

// Why a primary's question cannot be answered with a ClientKey, or its answer not be believed.
var (
	ErrMethod    = errors.New("the primary asks for something else than SCRAM-SHA-256")
	ErrUnasked   = errors.New("the primary asked for no proof")
	ErrServer    = errors.New("the primary sent a malformed SCRAM message")
	ErrSignature = errors.New("the primary could not prove that it knows the role's verifier")
	ErrBinding   = errors.New("the primary cannot bind the log-in to the channel")
)

// Keys has the keys by which a client that was verified here can be logged in upstream.
type Keys struct{ ClientKey, ServerKey Key }

// Leg describes a Client's connection.
type Leg struct {
	TLS      bool
	EndPoint []byte // [EndPoint] of the server's certificate; nil where there is none
	Binding  string // libpq's channel_binding: require, disable, or else prefer
}

// Client logs in upstream with a ClientKey. Make it with [NewClient].
type Client struct {
	keys      Keys
	storedKey Key
	leg       Leg
	nonce     string

	state       clientState
	header      string // gs2 header
	binding     []byte
	firstBare   string
	serverFirst string
	finalBare   string
}

type clientState uint8

const (
	unasked clientState = iota
	sentFirst
	sentFinal
	proved // and the server has
)

// NewClient returns a client that proves keys. The caller makes nonce, a fresh one for each.
func NewClient(keys Keys, leg Leg, nonce string) *Client {
	if !leg.TLS || leg.Binding == "disable" {
		leg.EndPoint = nil
	}
	return &Client{keys: keys, storedKey: sha256.Sum256(keys.ClientKey[:]), leg: leg, nonce: nonce}
}

// The kinds of 'R' (facts A7).
const (
	kindOk           = 0
	kindSASL         = 10
	kindSASLContinue = 11
	kindSASLFinal    = 12
)

// Step takes the body of an 'R' of the server and returns the body of the 'p' to answer with, nil for none. ok: it was
// AuthenticationOk, after the server has proved itself. ErrUnasked: it was AuthenticationOk out of the blue, whose
// worth is for the caller to judge.
func (c *Client) Step(body []byte) (answer []byte, ok bool, err error) {
	if len(body) < 4 {
		return nil, false, ErrServer
	}
	data := body[4:]
	if len(data) > maxServerMessage {
		return nil, false, fmt.Errorf("%w: it has %d bytes", ErrServer, len(data))
	}
	switch kind := binary.BigEndian.Uint32(body); {
	case kind == kindOk && c.state == proved:
		return nil, true, nil
	case kind == kindOk && c.state == unasked && c.leg.Binding == "require":
		return nil, false, ErrBinding
	case kind == kindOk && c.state == unasked:
		return nil, false, ErrUnasked
	case kind == kindOk:
		return nil, false, ErrSignature
	case kind == kindSASL && c.state == unasked:
		answer, err = c.first(data)
	case kind == kindSASLContinue && c.state == sentFirst:
		answer, err = c.final(string(data))
	case kind == kindSASLFinal && c.state == sentFinal:
		err = c.verify(string(data))
	case kind >= kindSASL && kind <= kindSASLFinal:
		err = ErrServer
	default:
		err = ErrMethod
	}
	return answer, false, err
}

// first chooses the mechanism of list as libpq does by default: with channel binding wherever that is possible.
func (c *Client) first(list []byte) ([]byte, error) {
	var plain, plus bool
	for _, name := range bytes.Split(list, []byte{0}) {
		plain = plain || string(name) == Mechanism
		plus = plus || string(name) == MechanismPlus
	}
	mechanism := Mechanism
	switch {
	case plus && c.leg.EndPoint != nil:
		mechanism, c.header, c.binding = MechanismPlus, "p="+bindingType+",,", c.leg.EndPoint
	case !plain:
		return nil, ErrMethod
	case c.leg.Binding == "require":
		return nil, ErrBinding
	case c.leg.EndPoint != nil: // a server with TLS that does know PLUS sees that somebody has removed it
		c.header = "y,,"
	default:
		c.header = "n,,"
	}
	c.firstBare = "n=,r=" + c.nonce
	message := c.header + c.firstBare
	b := append([]byte(mechanism), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	c.state = sentFirst
	return append(b, message...), nil
}

// final answers the server-first-message. Its salt and count are for clients that have a password. A message of another
// form, or with another nonce, is ErrServer.
func (c *Client) final(message string) ([]byte, error) {
	rest, ok := strings.CutPrefix(message, "r=")
	both, rest, ok2 := strings.Cut(rest, ",s=")
	salt, rest, ok3 := strings.Cut(rest, ",i=")
	count, _, _ := strings.Cut(rest, ",")
	if !ok || !ok2 || !ok3 {
		return nil, ErrServer
	}
	if !nonce(both) || !strings.HasPrefix(both, c.nonce) || len(both) == len(c.nonce) {
		return nil, fmt.Errorf("%w: its nonce does not continue ours", ErrServer)
	}
	if _, err := base64.StdEncoding.DecodeString(salt); err != nil || salt == "" {
		return nil, fmt.Errorf("%w: invalid salt", ErrServer)
	}
	if n, err := strconv.ParseInt(count, 10, 32); err != nil || n < 1 {
		return nil, fmt.Errorf("%w: invalid iteration count", ErrServer)
	}
	c.serverFirst = message
	bound := base64.StdEncoding.EncodeToString(append([]byte(c.header), c.binding...))
	c.finalBare = "c=" + bound + ",r=" + both
	proof := xor(c.keys.ClientKey, keyMAC(c.storedKey, c.firstBare, c.serverFirst, c.finalBare))
	c.state = sentFinal
	return []byte(c.finalBare + ",p=" + base64.StdEncoding.EncodeToString(proof[:])), nil
}

// verify checks the server-final-message: the server has proved itself when it returns nil. [ErrSignature]: it could
// not.
func (c *Client) verify(message string) error {
	text, ok := strings.CutPrefix(message, "v=")
	text, _, _ = strings.Cut(text, ",")
	var given Key
	if !ok || !decodeKey(&given, text) {
		return ErrServer
	}
	want := keyMAC(c.keys.ServerKey, c.firstBare, c.serverFirst, c.finalBare)
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		return ErrSignature
	}
	c.state = proved
	return nil
}
