package main

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/sashabaranov/go-openai"
	"github.com/sashabaranov/go-openai/jsonschema"

	"megallm.test/sdks/harness"
)

func (s sdk) Chat(ctx context.Context, model, prompt string) (harness.Completion, error) {
	return s.complete(ctx, openai.ChatCompletionRequest{Model: model, Messages: userSays(prompt)})
}

func (s sdk) complete(ctx context.Context, request openai.ChatCompletionRequest) (harness.Completion, error) {
	completion, err := s.client.CreateChatCompletion(ctx, request)
	if err != nil {
		return harness.Completion{}, err
	}
	read := harness.Completion{Choices: len(completion.Choices), Usage: usageOf(completion.Usage)}
	if len(completion.Choices) > 0 {
		choice := completion.Choices[0]
		read.Role, read.Content, read.Finish = choice.Message.Role, choice.Message.Content, string(choice.FinishReason)
	}
	return read, nil
}

func (s sdk) Vision(ctx context.Context, prompt, imageURL string) (harness.Completion, error) {
	return s.complete(ctx, openai.ChatCompletionRequest{
		Model: harness.ChatModel,
		Messages: []openai.ChatCompletionMessage{{
			Role: openai.ChatMessageRoleUser,
			MultiContent: []openai.ChatMessagePart{
				{Type: openai.ChatMessagePartTypeText, Text: prompt},
				{Type: openai.ChatMessagePartTypeImageURL, ImageURL: &openai.ChatMessageImageURL{
					URL:    imageURL,
					Detail: openai.ImageURLDetailLow,
				}},
			},
		}},
	})
}

func (s sdk) Structured(ctx context.Context, prompt string, into any) (harness.Completion, error) {
	schema, err := jsonschema.GenerateSchemaForType(into)
	if err != nil {
		return harness.Completion{}, err
	}
	completion, err := s.complete(ctx, openai.ChatCompletionRequest{
		Model:    harness.ChatModel,
		Messages: userSays(prompt),
		ResponseFormat: &openai.ChatCompletionResponseFormat{
			Type: openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{
				Name:   "answer",
				Schema: schema,
				Strict: true,
			},
		},
	})
	if err != nil {
		return completion, err
	}
	// Unmarshal checks against the schema, too.
	if err := schema.Unmarshal(completion.Content, into); err != nil {
		return completion, fmt.Errorf("%s: %w", completion.Content, err)
	}
	return completion, nil
}

func (s sdk) Stream(ctx context.Context, request harness.StreamRequest) iter.Seq2[harness.Chunk, error] {
	params := openai.ChatCompletionRequest{Model: request.Model, Messages: userSays(request.Prompt)}
	if request.IncludeUsage {
		params.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	}
	return func(yield func(harness.Chunk, error) bool) {
		for chunk, err := range received(s.client.CreateChatCompletionStream(ctx, params)) {
			if !yield(chunkOf(chunk), err) {
				return
			}
		}
	}
}

func chunkOf(chunk openai.ChatCompletionStreamResponse) harness.Chunk {
	read := harness.Chunk{Choices: len(chunk.Choices)}
	for _, choice := range chunk.Choices {
		read.Content += choice.Delta.Content
		if choice.FinishReason != "" {
			read.Finish = string(choice.FinishReason)
		}
	}
	if chunk.Usage != nil {
		usage := usageOf(*chunk.Usage)
		read.Usage = &usage
	}
	return read
}

type conversation struct {
	sdk
	request openai.ChatCompletionRequest
	schemas map[string]*jsonschema.Definition
}

func (s sdk) Converse(prompt string, tools []harness.Tool) (harness.Conversation, error) {
	request := openai.ChatCompletionRequest{
		Model:         harness.ChatModel,
		Messages:      userSays(prompt),
		StreamOptions: &openai.StreamOptions{IncludeUsage: true},
	}
	schemas := map[string]*jsonschema.Definition{}
	for _, tool := range tools {
		schema, err := jsonschema.GenerateSchemaForType(tool.Arguments)
		if err != nil {
			return nil, err
		}
		schemas[tool.Name] = schema
		function := openai.FunctionDefinition{Name: tool.Name, Strict: true, Parameters: schema}
		request.Tools = append(request.Tools, openai.Tool{Type: openai.ToolTypeFunction, Function: &function})
	}
	return &conversation{s, request, schemas}, nil
}

// Next puts together by hand what the SDK leaves in pieces.
func (c *conversation) Next(ctx context.Context) (harness.Turn, error) {
	turn := harness.Turn{}
	message := openai.ChatCompletionMessage{Role: openai.ChatMessageRoleAssistant}
	for chunk, err := range received(c.client.CreateChatCompletionStream(ctx, c.request)) {
		if err != nil {
			return turn, err
		}
		read := chunkOf(chunk)
		message.Content += read.Content
		if read.Finish != "" {
			turn.Finish = read.Finish
		}
		if read.Usage != nil {
			turn.Usage = *read.Usage
		}
		for _, choice := range chunk.Choices {
			if message.ToolCalls, err = withDeltas(message.ToolCalls, choice.Delta.ToolCalls); err != nil {
				return turn, err
			}
		}
	}
	c.request.Messages = append(c.request.Messages, message)
	turn.Content = message.Content
	for _, call := range message.ToolCalls {
		if err := c.checkArguments(call.Function); err != nil {
			return turn, fmt.Errorf("the arguments %s of %q: %w", call.Function.Arguments, call.Function.Name, err)
		}
		turn.Calls = append(turn.Calls, harness.Call{
			ID:        call.ID,
			Type:      string(call.Type),
			Name:      call.Function.Name,
			Arguments: call.Function.Arguments,
		})
	}
	return turn, nil
}

func withDeltas(calls, deltas []openai.ToolCall) ([]openai.ToolCall, error) {
	for _, delta := range deltas {
		if delta.Index == nil || *delta.Index > len(calls) {
			return calls, fmt.Errorf("a delta of a call without its place: %+v", delta)
		}
		if *delta.Index == len(calls) {
			calls = append(calls, openai.ToolCall{ID: delta.ID, Type: delta.Type})
		}
		call := &calls[*delta.Index]
		call.Function.Name += delta.Function.Name
		call.Function.Arguments += delta.Function.Arguments
	}
	return calls, nil
}

func (c *conversation) checkArguments(function openai.FunctionCall) error {
	schema, ok := c.schemas[function.Name]
	if !ok {
		return errors.New("was not offered")
	}
	var arguments map[string]any
	return schema.Unmarshal(function.Arguments, &arguments)
}

func (c *conversation) Answer(callID, result string) {
	c.request.Messages = append(c.request.Messages, openai.ChatCompletionMessage{
		Role:       openai.ChatMessageRoleTool,
		ToolCallID: callID,
		Content:    result,
	})
}

func usageOf(usage openai.Usage) harness.Usage {
	return harness.Usage{
		Input:  int64(usage.PromptTokens),
		Output: int64(usage.CompletionTokens),
		Total:  int64(usage.TotalTokens),
	}
}

func userSays(text string) []openai.ChatCompletionMessage {
	return []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: text}}
}
