package datum

import (
	"encoding/binary"
	"math"
	"math/big"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// postgresEpoch is 2000-01-01 in microseconds since 1970: times count from there in binary.
const postgresEpoch = 946684800 * 1e6

// Address families of inet in binary.
const (
	familyV4 = 2
	familyV6 = 3
)

// negative is NUMERIC_NEG.
const negative = 0x4000

// AppendBinary appends the binary form of a value that is not NULL.
func AppendBinary(b []byte, t Type, v Value) []byte {
	switch x := v.(type) {
	case string:
		return append(b, x...)
	case bool:
		if x {
			return append(b, 1)
		}
		return append(b, 0)
	case int64:
		switch t {
		case Int8:
			return binary.BigEndian.AppendUint64(b, uint64(x))
		case Int2:
			return binary.BigEndian.AppendUint16(b, uint16(x))
		}
		return binary.BigEndian.AppendUint32(b, uint32(x))
	case float64:
		return binary.BigEndian.AppendUint64(b, math.Float64bits(x))
	case lsn.LSN:
		return binary.BigEndian.AppendUint64(b, uint64(x))
	case time.Time:
		return binary.BigEndian.AppendUint64(b, uint64(x.UnixMicro()-postgresEpoch))
	case Span:
		b = binary.BigEndian.AppendUint64(b, uint64(x.Micros))
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(x.Days)), uint32(x.Months))
	case netip.Prefix:
		family := byte(familyV4)
		if x.Addr().Is6() {
			family = familyV6
		}
		addr := x.Addr().AsSlice()
		return append(append(b, family, byte(x.Bits()), 0, byte(len(addr))), addr...)
	case Number:
		digits, weight := x.base()
		sign := uint16(0)
		if x.Digits.Sign() < 0 {
			sign = negative
		}
		for _, n := range []uint16{uint16(len(digits)), uint16(weight), sign, uint16(x.Scale)} {
			b = binary.BigEndian.AppendUint16(b, n)
		}
		for _, d := range digits {
			b = binary.BigEndian.AppendUint16(b, uint16(d))
		}
	}
	return b
}

// ParseBinary reads the binary form of a type's value. Errors are *pgerror.Error.
func ParseBinary(t Type, b []byte) (Value, error) {
	if size := t.Size(); size > 0 && t != Name && len(b) != int(size) {
		if len(b) > int(size) {
			return nil, pgerror.New(pgerror.InvalidBinaryForm, "incorrect binary data format")
		}
		return nil, pgerror.New(pgerror.ProtocolViolation, "insufficient data left in message")
	}
	switch t {
	case Text, Name, Varchar:
		if !utf8.Valid(b) {
			return nil, pgerror.New(pgerror.NotInRepertoire, "invalid byte sequence for encoding \"UTF8\"")
		}
		return Parse(t, string(b), time.UTC)
	case Bool:
		return b[0] != 0, nil
	case Int2:
		return int64(int16(binary.BigEndian.Uint16(b))), nil
	case Int4:
		return int64(int32(binary.BigEndian.Uint32(b))), nil
	case OID, Xid:
		return int64(binary.BigEndian.Uint32(b)), nil
	case Int8:
		return int64(binary.BigEndian.Uint64(b)), nil
	case LSN:
		return lsn.LSN(binary.BigEndian.Uint64(b)), nil
	case Float8:
		f := math.Float64frombits(binary.BigEndian.Uint64(b))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errForm(t, formatFloat(f))
		}
		return f, nil
	case Timestamptz:
		at := time.UnixMicro(int64(binary.BigEndian.Uint64(b)) + postgresEpoch).UTC()
		if at.Year() < 1 || at.Year() > 9999 {
			return nil, errForm(t, at.String())
		}
		return at, nil
	case Interval:
		return Span{
			Micros: int64(binary.BigEndian.Uint64(b)), Days: int32(binary.BigEndian.Uint32(b[8:])),
			Months: int32(binary.BigEndian.Uint32(b[12:])),
		}, nil
	case Inet:
		return parseBinaryInet(b)
	case Numeric:
		return parseBinaryNumber(b)
	}
	return nil, pgerror.New(pgerror.FeatureNotSupported,
		"binary values of type %d are not supported by the console of replproxy", t)
}

func parseBinaryInet(b []byte) (Value, error) {
	bad := pgerror.New(pgerror.InvalidBinaryForm, "invalid external \"inet\" value")
	if len(b) < 4 || len(b) != 4+int(b[3]) || b[0] != familyV4 && b[0] != familyV6 {
		return nil, bad
	}
	a, ok := netip.AddrFromSlice(b[4:])
	if !ok || a.Is4() != (b[0] == familyV4) || int(b[1]) > a.BitLen() {
		return nil, bad
	}
	return Parse(Inet, netip.PrefixFrom(a, int(b[1])).String(), time.UTC)
}

func parseBinaryNumber(b []byte) (Value, error) {
	bad := pgerror.New(pgerror.InvalidBinaryForm, "invalid digit in external \"numeric\" value")
	if len(b) < 8 || len(b) != 8+2*int(binary.BigEndian.Uint16(b)) {
		return nil, pgerror.New(pgerror.ProtocolViolation, "insufficient data left in message")
	}
	weight, scale := int(int16(binary.BigEndian.Uint16(b[2:]))), int(binary.BigEndian.Uint16(b[6:]))
	sign := binary.BigEndian.Uint16(b[4:])
	count := len(b)/2 - 4
	long := weight > maxExponent || weight < -maxExponent || scale > 4*maxExponent || count > maxExponent
	if sign != 0 && sign != negative || long {
		return nil, pgerror.New(pgerror.FeatureNotSupported,
			"such numbers are not supported by the console of replproxy")
	}
	n := new(big.Int)
	for i := range count {
		d := binary.BigEndian.Uint16(b[8+2*i:])
		if d >= 10000 {
			return nil, bad
		}
		n.Add(n.Mul(n, big.NewInt(10000)), big.NewInt(int64(d)))
	}
	if sign == negative {
		n.Neg(n)
	}
	// The last digit has the weight 10000^(weight+1-count).
	exponent := (weight + 1 - count) * decimals
	if exponent >= 0 {
		return Number{n.Mul(n, power(exponent)), 0}.Round(scale), nil
	}
	return Number{n, -exponent}.Round(scale), nil
}
