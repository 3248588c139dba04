package triggers

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"strconv"
	"strings"

	"triggers.internal/triggers/rpcpb"
)

const acceptedSchemes = "ws://, wss://, tcp:// and tls+tcp://"

// address is where a core listens, checked.
type address struct {
	url *url.URL
	tls *tls.Config // of wss and tls+tcp; else nil
}

// parseAddresses reads URLs separated by commas.
func parseAddresses(text, caFile string) ([]address, error) {
	var addresses []address
	for _, part := range strings.Split(text, ",") {
		parsed, err := parseAddress(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, parsed)
	}
	roots, err := readRoots(caFile)
	if err != nil {
		return nil, err
	}
	for i := range addresses {
		if parsed := &addresses[i]; parsed.url.Scheme == "wss" || parsed.url.Scheme == "tls+tcp" {
			parsed.tls = &tls.Config{
				RootCAs: roots, ServerName: parsed.url.Hostname(), MinVersion: tls.VersionTLS12,
			}
		}
	}
	return addresses, nil
}

func parseAddress(text string) (address, error) {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" {
		return address{}, invalidURL("an address is not a URL; accepted are those with %s and a host", acceptedSchemes)
	}
	// The URL is shown in errors, so it must hold no password; triggersd knows none.
	if parsed.User != nil {
		return address{}, invalidURL("an address has a user name, which triggersd does not accept")
	}
	port := parsed.Port()
	switch parsed.Scheme {
	case "ws", "wss":
		if port == "" {
			return address{url: parsed}, nil
		}
	case "tcp", "tls+tcp":
		if strings.Trim(parsed.Path, "/") != "" {
			return address{}, invalidURL("'%s' has a path, which %s does not know", text, parsed.Scheme)
		}
	default:
		return address{}, invalidURL("'%s' is not an address of triggersd; accepted are URLs with %s", text, acceptedSchemes)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return address{}, invalidURL("the port of '%s' is not accepted; it must be 1 to 65535", text)
	}
	return address{url: parsed}, nil
}

// readRoots reads the certificates to trust; nil, the system's, for no file.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		failed := failure(rpcpb.Code_INVALID_ARGUMENT, "TLS_CA_INVALID", "%v", err)
		failed.cause = err
		return nil, failed
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, failure(rpcpb.Code_INVALID_ARGUMENT, "TLS_CA_INVALID",
			"%s has no certificate; accepted is a PEM file of certificates", file)
	}
	return roots, nil
}

func invalidURL(format string, arguments ...any) error {
	return failure(rpcpb.Code_INVALID_ARGUMENT, "URL_INVALID", format, arguments...)
}
