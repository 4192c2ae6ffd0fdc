package scramauth

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// MaxMessage is PostgreSQL's limit of the body of a client's SASL message.
const MaxMessage = 1024

// NonceSize is the number of random bytes in a nonce, as in PostgreSQL.
const NonceSize = 18

// Nonce returns the text of a nonce of NonceSize random bytes.
func Nonce(random []byte) string { return base64.StdEncoding.EncodeToString(random) }

// ErrProof is a proof that is not right, or cannot be: the caller has PostgreSQL's words for a wrong password.
var ErrProof = errors.New("invalid proof")

// Server verifies one client. Make it with [NewServer].
type Server struct {
	verifier Verifier
	doomed   bool
	endPoint []byte // of the certificate that the client saw; nil: no channel binding
	nonce    string

	state           serverState
	plus            bool // the client took the mechanism with channel binding
	flag            byte // n, y or p
	clientNonce     string
	clientFirstBare string
	serverFirst     string
	clientKey       Key
}

type serverState uint8

const (
	awaitMechanism serverState = iota
	awaitFirst                 // the mechanism came without a message
	awaitFinal
	finished
)

// NewServer verifies by v; doomed: it will not succeed whatever the client proves. endPoint is [EndPoint] of the
// certificate that the client saw, nil for none. nonce is fresh and made by the caller.
func NewServer(v Verifier, doomed bool, endPoint []byte, nonce string) *Server {
	return &Server{verifier: v, doomed: doomed, endPoint: endPoint, nonce: nonce}
}

// Offer returns the list of mechanisms as AuthenticationSASL has it.
func (s *Server) Offer() []byte {
	list := Mechanism + "\x00\x00"
	if s.endPoint != nil {
		list = MechanismPlus + "\x00" + list
	}
	return []byte(list)
}

// Step takes the body of the client's next 'p' and gives the data of the answer: AuthenticationSASLFinal when
// done, else AuthenticationSASLContinue. The error is a FATAL for the client, or ErrProof.
func (s *Server) Step(body []byte) (answer []byte, done bool, err error) {
	message := body
	if s.state == awaitMechanism {
		var present bool
		if message, present, err = s.initial(body); err != nil {
			return nil, false, err
		}
		if s.state = awaitFirst; !present {
			return nil, false, nil // an empty challenge, as PostgreSQL gives
		}
	}
	switch {
	case len(message) == 0:
		return nil, false, malformed("The message is empty.")
	case bytes.IndexByte(message, 0) >= 0:
		return nil, false, malformed("Message length does not match input length.")
	}
	switch s.state {
	case awaitFirst:
		if err = s.first(string(message)); err != nil {
			return nil, false, err
		}
		s.serverFirst = fmt.Sprintf("r=%s%s,s=%s,i=%d", s.clientNonce, s.nonce,
			base64.StdEncoding.EncodeToString(s.verifier.Salt), s.verifier.Iterations)
		s.state = awaitFinal
		return []byte(s.serverFirst), false, nil
	case awaitFinal:
		s.state = finished
		answer, err = s.final(string(message))
		return answer, err == nil, err
	}
	return nil, false, malformed("The exchange is over.")
}

// ClientKey returns the ClientKey that the client's proof revealed. It is a secret: with it the proxy logs in as this
// role. It is valid once Step has reported success.
func (s *Server) ClientKey() Key { return s.clientKey }

// initial takes a SASLInitialResponse apart; present is false when it brings no message. The error is PostgreSQL's,
// also for another mechanism.
func (s *Server) initial(body []byte) (message []byte, present bool, err error) {
	name, rest, ok := bytes.Cut(body, []byte{0})
	switch {
	case !ok:
		return nil, false, pgerror.Fatal(pgerror.ProtocolViolation, "invalid string in message")
	case string(name) == MechanismPlus && s.endPoint != nil:
		s.plus = true
	case string(name) != Mechanism:
		return nil, false, pgerror.Fatal(pgerror.ProtocolViolation,
			"client selected an invalid SASL authentication mechanism")
	}
	if len(rest) < 4 {
		return nil, false, pgerror.Fatal(pgerror.ProtocolViolation, "insufficient data left in message")
	}
	n, data := int32(binary.BigEndian.Uint32(rest)), rest[4:]
	switch {
	case n == -1 && len(data) == 0:
		return nil, false, nil
	case n < -1 || int64(n) > int64(len(data)):
		return nil, false, pgerror.Fatal(pgerror.ProtocolViolation, "insufficient data left in message")
	case int(max(n, 0)) < len(data):
		return nil, false, pgerror.Fatal(pgerror.ProtocolViolation, "invalid message format")
	}
	return data, true, nil
}

// first reads the client-first-message, and keeps the client's nonce. The error is PostgreSQL's.
func (s *Server) first(message string) error {
	a := attrs{message}
	if err := s.bindingFlag(&a); err != nil {
		return err
	}
	if c := a.next(); c != ',' {
		return malformed(`Comma expected, but found character "%s".`, sanitize(c))
	}
	a.skip()
	switch c := a.next(); c {
	case 'a':
		return pgerror.Fatal(pgerror.FeatureNotSupported,
			"client uses authorization identity, but it is not supported")
	case ',':
		a.skip()
	default:
		return malformed(`Unexpected attribute "%s" in client-first-message.`, sanitize(c))
	}
	s.clientFirstBare = a.rest
	if a.next() == 'm' {
		return pgerror.Fatal(pgerror.FeatureNotSupported, "client requires an unsupported SCRAM extension")
	}
	if _, err := a.value('n'); err != nil { // the startup packet's user counts, as in PostgreSQL
		return err
	}
	var err error
	if s.clientNonce, err = a.value('r'); err != nil {
		return err
	}
	if !nonce(s.clientNonce) {
		return pgerror.Fatal(pgerror.ProtocolViolation, "non-printable characters in SCRAM nonce")
	}
	for a.rest != "" {
		if _, _, err := a.any(); err != nil {
			return err
		}
	}
	return nil
}

// final reads the client-final-message, judges the proof and signs. The error is PostgreSQL's, for a wrong proof as
// well.
func (s *Server) final(message string) ([]byte, error) {
	a := attrs{message}
	binding, err := a.value('c')
	if err != nil {
		return nil, err
	}
	if err := s.judgeBinding(binding); err != nil {
		return nil, err
	}
	both, err := a.value('r')
	if err != nil {
		return nil, err
	}
	var bare, proof string
	for name := byte(0); name != 'p'; {
		bare = message[:len(message)-len(a.rest)]
		if name, proof, err = a.any(); err != nil {
			return nil, err
		}
	}
	bare = strings.TrimSuffix(bare, ",")
	var given Key
	if !decodeKey(&given, proof) {
		return nil, malformed("Malformed proof in client-final-message.")
	}
	if a.rest != "" {
		return nil, malformed("Garbage found at the end of client-final-message.")
	}
	if both != s.clientNonce+s.nonce {
		return nil, pgerror.Fatal(pgerror.ProtocolViolation, "invalid SCRAM response").
			WithDetail("Nonce does not match.")
	}
	key := xor(given, keyMAC(s.verifier.StoredKey, s.clientFirstBare, s.serverFirst, bare))
	stored := sha256.Sum256(key[:])
	if subtle.ConstantTimeCompare(stored[:], s.verifier.StoredKey[:]) != 1 || s.doomed {
		return nil, ErrProof
	}
	s.clientKey = key
	signature := keyMAC(s.verifier.ServerKey, s.clientFirstBare, s.serverFirst, bare)
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature[:])), nil
}
