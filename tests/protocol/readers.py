"""Which model reads which definition of the schemas, and why some need none."""

from typing import Any, Callable, Dict, List, Type

from pydantic import TypeAdapter

from mcp_sync.protocol import types
from mcp_sync.protocol.types import ErrorObject, InputRequest, WireModel

# Takes a document as it came, gives it back as our models would send it.
Reader = Callable[[Any], Any]

# Definitions that have a model of their own, most of the same name.
_NAMESAKES: List[Type[WireModel]] = [
    types.Annotations,
    types.AudioContent,
    types.BlobResourceContents,
    types.CacheableResult,
    types.CallToolResult,
    types.CompleteResult,
    types.CreateMessageResult,
    types.DiscoverResult,
    types.ElicitResult,
    types.EmbeddedResource,
    types.GetPromptResult,
    types.GetTaskResult,
    types.Icon,
    types.ImageContent,
    types.Implementation,
    types.InitializeResult,
    types.InputRequest,
    types.ListRootsResult,
    types.ModelHint,
    types.ModelPreferences,
    types.Notification,
    types.NotificationParams,
    types.Prompt,
    types.PromptArgument,
    types.PromptMessage,
    types.PromptReference,
    types.ReadResourceResult,
    types.RequestParams,
    types.Resource,
    types.ResourceLink,
    types.ResourceTemplate,
    types.ResourceTemplateReference,
    types.Result,
    types.Root,
    types.SamplingMessage,
    types.ServerCapabilities,
    types.TextContent,
    types.TextResourceContents,
    types.Tool,
    types.ToolAnnotations,
    types.ToolChoice,
    types.ToolExecution,
    types.ToolResultContent,
    types.ToolUseContent,
]
MODELS: Dict[str, Type[WireModel]] = {
    **{model.__name__: model for model in _NAMESAKES},
    "CreateMessageRequestParams": types.CreateMessageParams,
    "ElicitRequestFormParams": types.ElicitParams,
    "ElicitRequestParams": types.ElicitParams,
    "ElicitRequestURLParams": types.ElicitParams,
    "EmptyResult": types.Result,
    "Error": types.ErrorObject,
    "GetTaskPayloadResult": types.Result,
    "InternalError": types.ErrorObject,
    "InvalidParamsError": types.ErrorObject,
    "InvalidRequestError": types.ErrorObject,
    "LoggingMessageNotificationParams": types.LogMessage,
    "MethodNotFoundError": types.ErrorObject,
    "ParseError": types.ErrorObject,
    "ProgressNotificationParams": types.Progress,
    "ResourceReference": types.ResourceTemplateReference,
}

# Requests and notifications, by the model of their params. JSON-RPC's own fields are not a matter of the models.
PARAMS: Dict[str, Type[WireModel]] = {
    "CreateMessageRequest": types.CreateMessageParams,
    "DiscoverRequest": types.RequestParams,
    "ElicitRequest": types.ElicitParams,
    "InitializedNotification": types.NotificationParams,
    "ListRootsRequest": types.RequestParams,
    "LoggingMessageNotification": types.LogMessage,
    "PingRequest": types.RequestParams,
    "ProgressNotification": types.Progress,
    "PromptListChangedNotification": types.NotificationParams,
    "ResourceListChangedNotification": types.NotificationParams,
    "RootsListChangedNotification": types.NotificationParams,
    "ToolListChangedNotification": types.NotificationParams,
}

# Successful responses, by the model of their result.
RESPONSES: Dict[str, Type[WireModel]] = {
    "CallToolResultResponse": types.CallToolResult,
    "CompleteResultResponse": types.CompleteResult,
    "DiscoverResultResponse": types.DiscoverResult,
    "GetPromptResultResponse": types.GetPromptResult,
    "ReadResourceResultResponse": types.ReadResourceResult,
}

# Error responses: each has the error's code and message, and its data as it came.
ERRORS = [
    "HeaderMismatchError",
    "MissingRequiredClientCapabilityError",
    "URLElicitationRequiredError",
    "UnsupportedProtocolVersionError",
]

SCALAR = "a string or a number; a plain field of each model"
RAW = "part of a JSON Schema, and schemas stay raw dicts"
JSON = "any JSON; stays raw"
META = "_meta stays a raw dict in every model"
PARENT = "only a parent of others, whose models have its fields"
UNION = "a union; each of its members has a model"
SENT = "made by the client as a plain dict, which test_what_clients_send checks"
BY_KEY = "read by a few of its keys: mcp_sync.protocol.conversations and rounds, mcp_sync.session"
ENVELOPE = "JSON-RPC itself, not a payload: mcp_sync.protocol.messages"

WITHOUT_MODEL: Dict[str, str] = {
    **dict.fromkeys(
        ["Cursor", "LoggingLevel", "ProgressToken", "RequestId", "ResultType", "Role", "TaskStatus"], SCALAR
    ),
    **dict.fromkeys(["JSONArray", "JSONObject", "JSONValue"], JSON),
    **dict.fromkeys(["MetaObject", "NotificationMetaObject", "RequestMetaObject", "ResultMetaObject"], META),
    "SubscriptionsListenResultMetaObject": META,
    "TaskAugmentedRequestParams": PARENT,
    **dict.fromkeys(["Annotated", "BaseMetadata", "Icons", "InputResponseRequestParams"], PARENT),
    **dict.fromkeys(["PaginatedRequest", "Request", "ResourceContents", "ResourceRequestParams"], PARENT),
    **dict.fromkeys(["ClientNotification", "ClientRequest", "ClientResult", "InputResponse", "InputResponses"], UNION),
    **dict.fromkeys(["ServerNotification", "ServerRequest", "ServerResult"], UNION),
    **dict.fromkeys(["BooleanSchema", "EnumSchema", "LegacyTitledEnumSchema", "MultiSelectEnumSchema"], RAW),
    **dict.fromkeys(["NumberSchema", "PrimitiveSchemaDefinition", "SingleSelectEnumSchema", "StringSchema"], RAW),
    **dict.fromkeys(["TitledMultiSelectEnumSchema", "TitledSingleSelectEnumSchema"], RAW),
    **dict.fromkeys(["UntitledMultiSelectEnumSchema", "UntitledSingleSelectEnumSchema"], RAW),
    **dict.fromkeys(["CallToolRequest", "CallToolRequestParams", "CancelTaskRequest", "ClientCapabilities"], SENT),
    **dict.fromkeys(["CompleteRequest", "CompleteRequestParams", "GetPromptRequest", "GetPromptRequestParams"], SENT),
    **dict.fromkeys(["GetTaskPayloadRequest", "GetTaskRequest", "InitializeRequest", "InitializeRequestParams"], SENT),
    **dict.fromkeys(["ListPromptsRequest", "ListResourceTemplatesRequest", "ListResourcesRequest"], SENT),
    **dict.fromkeys(["ListTasksRequest", "ListToolsRequest", "PaginatedRequestParams", "ReadResourceRequest"], SENT),
    **dict.fromkeys(["ReadResourceRequestParams", "SetLevelRequest", "SetLevelRequestParams"], SENT),
    **dict.fromkeys(["SubscribeRequest", "SubscribeRequestParams", "SubscriptionFilter"], SENT),
    **dict.fromkeys(["SubscriptionsListenRequest", "SubscriptionsListenRequestParams", "TaskMetadata"], SENT),
    **dict.fromkeys(["UnsubscribeRequest", "UnsubscribeRequestParams"], SENT),
    **dict.fromkeys(["CancelTaskResult", "CreateTaskResult", "InputRequiredResult", "ListPromptsResult"], BY_KEY),
    **dict.fromkeys(["ListPromptsResultResponse", "ListResourceTemplatesResult"], BY_KEY),
    **dict.fromkeys(["ListResourceTemplatesResultResponse", "ListResourcesResult"], BY_KEY),
    **dict.fromkeys(["ListResourcesResultResponse", "ListTasksResult", "ListToolsResult"], BY_KEY),
    **dict.fromkeys(["ListToolsResultResponse", "SubscriptionsListenResult"], BY_KEY),
    **dict.fromkeys(["SubscriptionsListenResultResponse", "Task", "CancelledNotification"], BY_KEY),
    **dict.fromkeys(["CancelledNotificationParams", "ElicitationCompleteNotification"], BY_KEY),
    **dict.fromkeys(["ResourceUpdatedNotification", "ResourceUpdatedNotificationParams"], BY_KEY),
    **dict.fromkeys(["SubscriptionsAcknowledgedNotification", "TaskStatusNotification"], BY_KEY),
    **dict.fromkeys(["SubscriptionsAcknowledgedNotificationParams", "TaskStatusNotificationParams"], BY_KEY),
    "PaginatedResult": PARENT,
    "RelatedTaskMetadata": META,
    **dict.fromkeys(["JSONRPCBatchRequest", "JSONRPCBatchResponse", "JSONRPCError", "JSONRPCErrorResponse"], ENVELOPE),
    **dict.fromkeys(["JSONRPCMessage", "JSONRPCNotification", "JSONRPCRequest", "JSONRPCResponse"], ENVELOPE),
    "JSONRPCResultResponse": ENVELOPE,
}


def _through(model: Type[WireModel]) -> Reader:
    return lambda value: model.model_validate(value).to_wire()


def _adapted(kind: Any) -> Reader:
    adapter: TypeAdapter[WireModel] = TypeAdapter(kind)
    return lambda value: adapter.validate_python(value).to_wire()


def _params(model: Type[WireModel]) -> Reader:
    def read(message: Any) -> Any:
        return {
            key: model.model_validate(value).to_wire() if key == "params" else value for key, value in message.items()
        }

    return read


def _response(model: Type[WireModel]) -> Reader:
    def read(message: Any) -> Any:
        if message["result"].get("resultType") == "input_required":
            return message  # stays raw: mcp_sync.protocol.rounds
        return {**message, "result": model.model_validate(message["result"]).to_wire()}

    return read


def _error(message: Any) -> Any:
    return {**message, "error": ErrorObject.model_validate(message["error"]).to_wire()}


def _input_requests(value: Any) -> Any:
    return {key: InputRequest.model_validate(request).to_wire() for key, request in value.items()}


READERS: Dict[str, Reader] = {
    **{name: _through(model) for name, model in MODELS.items()},
    **{name: _params(model) for name, model in PARAMS.items()},
    **{name: _response(model) for name, model in RESPONSES.items()},
    **dict.fromkeys(ERRORS, _error),
    "ContentBlock": _adapted(types.ContentBlock),
    "InputRequests": _input_requests,
    "SamplingMessageContentBlock": _adapted(types.SamplingContent),
}
