package hangup

import "encoding/binary"

const (
	// The types of TLS records that hold an alert: openly, or encrypted as TLS 1.3 does.
	recordAlert, recordData = 21, 23
	recordHeader            = 5
	// encryptedAlert is the length of an alert in TLS 1.3: two bytes, the type within, sixteen of the cipher's tag.
	encryptedAlert = 2 + 1 + 16
	// maxAlert is no less than any alert with its header: TLS 1.2 with CBC, a MAC of SHA-384 and padding.
	maxAlert = recordHeader + 16 + 80
)

// isAlert reports whether b is one TLS record that holds an alert. No message of the protocol is as short as one.
func isAlert(b []byte) bool {
	if len(b) < recordHeader || int(binary.BigEndian.Uint16(b[3:]))+recordHeader != len(b) {
		return false
	}
	return b[0] == recordAlert || b[0] == recordData && len(b) == recordHeader+encryptedAlert
}
