package trace

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
)

// mechanism is the only one that a server offers without TLS.
const mechanism = "SCRAM-SHA-256"

// scram is the client's side of an exchange (RFC 5802, without channel binding). The server's proof is of no interest
// here: its last message is shown by its shape.
type scram struct {
	nonce  string
	server string // its first message
}

// first returns the message that chooses the mechanism.
func (c *scram) first() []byte {
	c.nonce = rand.Text()
	message := "n,," + c.bare()
	b := binary.BigEndian.AppendUint32([]byte(mechanism+"\x00"), uint32(len(message)))
	return frame('p', string(b)+message)
}

func (c *scram) bare() string { return "n=,r=" + c.nonce }

// final proves that the password is known.
func (c *scram) final(password string) ([]byte, error) {
	attributes := map[byte]string{}
	for _, a := range strings.Split(c.server, ",") {
		if len(a) > 2 {
			attributes[a[0]] = a[2:]
		}
	}
	salt, err1 := base64.StdEncoding.DecodeString(attributes['s'])
	rounds, err2 := strconv.Atoi(attributes['i'])
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return nil, err
	}
	message := "c=biws,r=" + attributes['r']
	client := mac(salted, "Client Key")
	stored := sha256.Sum256(client)
	for i, b := range mac(stored[:], c.bare()+","+c.server+","+message) {
		client[i] ^= b
	}
	return frame('p', message+",p="+base64.StdEncoding.EncodeToString(client)), nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// shape returns a SCRAM message without what is random: the names of its attributes, and the rounds.
func shape(message string) string {
	var names []string
	for _, a := range strings.Split(message, ",") {
		name, value, _ := strings.Cut(a, "=")
		if name == "i" {
			name += "=" + value
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}
