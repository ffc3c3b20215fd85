// Load for an API server without nodes (hack/bench/operator): kubelets that run nothing, and a bare loop of writes.
//
//	load SERVER CA CERT KEY kubelets NODES       until it is ended
//	load SERVER CA TOKEN "" send FILE CONNECTIONS  one line a request; a JSON line with what it took
//
// Standard library only, HTTP/1.1 with connections that stay open: what the operator uses.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type server struct {
	url, token string
	client     *http.Client
}

func die(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "load: "+format+"\n", values...)
	os.Exit(1)
}

func connect(url, ca, identity, key string) server {
	pem, err := os.ReadFile(ca)
	if err != nil {
		die("%v", err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(pem)
	s := server{url: url}
	if key == "" {
		token, err := os.ReadFile(identity)
		if err != nil {
			die("%v", err)
		}
		s.token = strings.TrimSpace(string(token))
	} else {
		pair, err := tls.LoadX509KeyPair(identity, key)
		if err != nil {
			die("%v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	// A TLSNextProto that is not nil turns HTTP/2 off.
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 256,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}
	return s
}

// open answers the response, whose body is the caller's to close.
func (s server) open(method, path, kind string, body []byte) (*http.Response, error) {
	request, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	return s.client.Do(request)
}

// do sends one request to its end: the status, and what was answered.
func (s server) do(method, path, kind string, body []byte) (int, []byte, error) {
	response, err := s.open(method, path, kind, body)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

func (s server) object(method, path, kind string, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		die("%v", err)
	}
	status, answer, err := s.do(method, path, kind, body)
	// What is there already, or gone already, is as it should be.
	if err != nil || (status >= 400 && status != 409 && status != 404) {
		fmt.Fprintf(os.Stderr, "load: %s %s: %d %v %.200s\n", method, path, status, err, answer)
	}
}

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }

func main() {
	if len(os.Args) < 7 {
		die("usage: load SERVER CA CERT KEY kubelets NODES | load SERVER CA TOKEN \"\" send FILE CONNECTIONS")
	}
	s := connect(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	number, err := strconv.Atoi(os.Args[len(os.Args)-1])
	if err != nil || number < 1 {
		die("'%s' must be a number above 0", os.Args[len(os.Args)-1])
	}
	switch {
	case os.Args[5] == "kubelets" && len(os.Args) == 7:
		kubelets(s, number)
	case os.Args[5] == "send" && len(os.Args) == 8:
		send(s, os.Args[6], number)
	default:
		die("'%s' must be kubelets or send", os.Args[5])
	}
}
