package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"triggers.internal/triggers"
	"triggers.internal/triggers/rpcpb"
)

// envelope is a Request or a Response as the vectors have it. encoding/json reads base64 into bytes.
type envelope struct {
	Name      string            `json:"name"`
	Foreign   bool              `json:"foreign"`
	Bytes     []byte            `json:"bytes"`
	Method    string            `json:"method"`
	TimeoutMS uint32            `json:"timeout_ms"`
	Code      int32             `json:"code"`
	Message   string            `json:"message"`
	Details   *details          `json:"details"`
	Metadata  map[string]string `json:"metadata"`
	Body      []byte            `json:"body"`
}

type details struct {
	Reason       string      `json:"reason"`
	Violations   []violation `json:"field_violations"`
	RetryDelayMS uint32      `json:"retry_delay_ms"`
}

type violation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

func (e envelope) request() proto.Message {
	return &rpcpb.Request{Method: e.Method, TimeoutMs: e.TimeoutMS, Metadata: e.Metadata, Body: e.Body}
}

func (e envelope) response() proto.Message {
	response := &rpcpb.Response{
		Code: rpcpb.Code(e.Code), Message: e.Message, Metadata: e.Metadata, Body: e.Body,
	}
	if e.Details == nil {
		return response
	}
	response.Details = &rpcpb.ErrorDetails{Reason: e.Details.Reason, RetryDelayMs: e.Details.RetryDelayMS}
	for _, each := range e.Details.Violations {
		response.Details.FieldViolations = append(response.Details.FieldViolations,
			&rpcpb.FieldViolation{Field: each.Field, Description: each.Description})
	}
	return response
}

func checkEnvelopes(file string) error {
	var vectors struct{ Requests, Responses, Malformed []envelope }
	if err := readJSON(file, &vectors); err != nil {
		return err
	}
	if len(vectors.Requests) == 0 || len(vectors.Responses) == 0 || len(vectors.Malformed) == 0 {
		return fmt.Errorf("vectors are missing in %s", file)
	}
	var problems []error
	for _, each := range vectors.Requests {
		problems = append(problems, checkEnvelope(each, each.request(), &rpcpb.Request{}))
	}
	for _, each := range vectors.Responses {
		problems = append(problems, checkEnvelope(each, each.response(), &rpcpb.Response{}))
	}
	for _, each := range vectors.Malformed {
		if proto.Unmarshal(each.Bytes, &rpcpb.Request{}) == nil || proto.Unmarshal(each.Bytes, &rpcpb.Response{}) == nil {
			problems = append(problems, fmt.Errorf("%s: parses", each.Name))
		}
	}
	return errors.Join(problems...)
}

// checkEnvelope compares the vector's bytes with its fields, both ways.
func checkEnvelope(vector envelope, fields, parsed proto.Message) error {
	if err := proto.Unmarshal(vector.Bytes, parsed); err != nil {
		return fmt.Errorf("%s: %w", vector.Name, err)
	}
	parsed.ProtoReflect().SetUnknown(nil) // what a later version added
	if !proto.Equal(parsed, fields) {
		return fmt.Errorf("%s: the bytes are %v instead of %v", vector.Name, parsed, fields)
	}
	if vector.Foreign {
		return nil
	}
	encoded, err := proto.Marshal(fields)
	if err != nil || len(encoded) != len(vector.Bytes) {
		return fmt.Errorf("%s: encodes to %d bytes instead of %d (%v)", vector.Name, len(encoded), len(vector.Bytes), err)
	}
	again := reflect.New(reflect.TypeOf(parsed).Elem()).Interface().(proto.Message)
	if err := proto.Unmarshal(encoded, again); err != nil || !proto.Equal(again, fields) {
		return fmt.Errorf("%s: comes back as %v (%v)", vector.Name, again, err)
	}
	return nil
}

func checkTypeIDs(file string) error {
	type vector struct {
		Name    string `json:"name"`
		EventID string `json:"event_id"`
		UUID    string `json:"uuid"`
	}
	var vectors struct{ Valid, Invalid []vector }
	if err := readJSON(file, &vectors); err != nil {
		return err
	}
	if len(vectors.Valid) == 0 || len(vectors.Invalid) == 0 {
		return fmt.Errorf("vectors are missing in %s", file)
	}
	problems := []error{checkNewID()}
	for _, each := range vectors.Valid {
		raw, err := hex.DecodeString(strings.ReplaceAll(each.UUID, "-", ""))
		if err != nil || len(raw) != 16 {
			return fmt.Errorf("%s: %q is no UUID", each.Name, each.UUID)
		}
		parsed, err := triggers.ParseEventID(each.EventID)
		if err != nil || parsed != [16]byte(raw) {
			problems = append(problems, fmt.Errorf("%s: parsed as %x (%v)", each.Name, parsed, err))
		}
		if id := triggers.FormatEventID([16]byte(raw)); id != each.EventID {
			problems = append(problems, fmt.Errorf("%s: written as %s", each.Name, id))
		}
	}
	for _, each := range vectors.Invalid {
		if _, err := triggers.ParseEventID(each.EventID); err == nil {
			problems = append(problems, fmt.Errorf("%s: %q was accepted", each.Name, each.EventID))
		}
	}
	return errors.Join(problems...)
}

// checkNewID: the binding's ids are UUIDv7s of now.
func checkNewID() error {
	before := time.Now().UnixMilli()
	id := triggers.NewEventID()
	after := time.Now().UnixMilli()
	uuid, err := triggers.ParseEventID(id)
	if err != nil {
		return err
	}
	var at int64
	for _, each := range uuid[:6] {
		at = at<<8 | int64(each)
	}
	if at < before || at > after || uuid[6]>>4 != 7 || uuid[8]>>6 != 2 {
		return fmt.Errorf("%s is no UUIDv7 of now: %x", id, uuid)
	}
	return nil
}
