"""Which model reads which definition of the schemas, and why some need none."""

from typing import Any, Callable, Dict, List, Type

from pydantic import TypeAdapter

from mcp_sync.protocol import types
from mcp_sync.protocol.types import ErrorObject, InputRequest, InputRequiredResult, WireModel

# Takes a document as it came, gives it back as our models would send it.
Reader = Callable[[Any], Any]

# Definitions that have a model of their own, most of the same name.
_NAMESAKES: List[Type[WireModel]] = [
    types.Annotations,
    types.AudioContent,
    types.BlobResourceContents,
    types.CacheableResult,
    types.CallToolResult,
    types.CancelTaskResult,
    types.ClientCapabilities,
    types.CompleteResult,
    types.CreateMessageResult,
    types.CreateTaskResult,
    types.DiscoverResult,
    types.ElicitResult,
    types.EmbeddedResource,
    types.EmptyResult,
    types.GetPromptResult,
    types.GetTaskResult,
    types.Icon,
    types.ImageContent,
    types.Implementation,
    types.InitializeResult,
    types.InputRequest,
    types.InputRequiredResult,
    types.ListPromptsResult,
    types.ListResourceTemplatesResult,
    types.ListResourcesResult,
    types.ListRootsResult,
    types.ListTasksResult,
    types.ListToolsResult,
    types.ModelHint,
    types.ModelPreferences,
    types.Notification,
    types.NotificationParams,
    types.PaginatedResult,
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
    types.SubscriptionFilter,
    types.SubscriptionsListenResult,
    types.Task,
    types.TaskMetadata,
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
    "CallToolRequestParams": types.CallToolParams,
    "CancelledNotificationParams": types.CancelledParams,
    "CompleteRequestParams": types.CompleteParams,
    "CreateMessageRequestParams": types.CreateMessageParams,
    "ElicitRequestFormParams": types.ElicitParams,
    "ElicitRequestParams": types.ElicitParams,
    "ElicitRequestURLParams": types.ElicitParams,
    "Error": types.ErrorObject,
    "GetPromptRequestParams": types.GetPromptParams,
    "GetTaskPayloadResult": types.Result,
    "InitializeRequestParams": types.InitializeParams,
    "InternalError": types.ErrorObject,
    "InvalidParamsError": types.ErrorObject,
    "InvalidRequestError": types.ErrorObject,
    "LoggingMessageNotificationParams": types.LogMessage,
    "MethodNotFoundError": types.ErrorObject,
    "PaginatedRequestParams": types.PaginatedParams,
    "ParseError": types.ErrorObject,
    "ProgressNotificationParams": types.Progress,
    "ReadResourceRequestParams": types.ReadResourceParams,
    "RelatedTaskMetadata": types.RelatedTask,
    "ResourceReference": types.ResourceTemplateReference,
    "ResourceUpdatedNotificationParams": types.ResourceUpdatedParams,
    "SetLevelRequestParams": types.SetLevelParams,
    "SubscribeRequestParams": types.SubscribeParams,
    "SubscriptionsAcknowledgedNotificationParams": types.SubscriptionsAcknowledgedParams,
    "SubscriptionsListenRequestParams": types.SubscriptionsListenParams,
    "TaskStatusNotificationParams": types.TaskStatusParams,
    "UnsubscribeRequestParams": types.SubscribeParams,
}

# Requests and notifications, by the model of their params. JSON-RPC's own fields are not a matter of the models.
PARAMS: Dict[str, Type[WireModel]] = {
    "CallToolRequest": types.CallToolParams,
    "CancelTaskRequest": types.TaskParams,
    "CancelledNotification": types.CancelledParams,
    "CompleteRequest": types.CompleteParams,
    "CreateMessageRequest": types.CreateMessageParams,
    "DiscoverRequest": types.RequestParams,
    "ElicitRequest": types.ElicitParams,
    "ElicitationCompleteNotification": types.ElicitationCompleteParams,
    "GetPromptRequest": types.GetPromptParams,
    "GetTaskPayloadRequest": types.TaskParams,
    "GetTaskRequest": types.TaskParams,
    "InitializeRequest": types.InitializeParams,
    "InitializedNotification": types.NotificationParams,
    "ListPromptsRequest": types.PaginatedParams,
    "ListResourceTemplatesRequest": types.PaginatedParams,
    "ListResourcesRequest": types.PaginatedParams,
    "ListRootsRequest": types.RequestParams,
    "ListTasksRequest": types.PaginatedParams,
    "ListToolsRequest": types.PaginatedParams,
    "LoggingMessageNotification": types.LogMessage,
    "PingRequest": types.RequestParams,
    "ProgressNotification": types.Progress,
    "PromptListChangedNotification": types.NotificationParams,
    "ReadResourceRequest": types.ReadResourceParams,
    "ResourceListChangedNotification": types.NotificationParams,
    "ResourceUpdatedNotification": types.ResourceUpdatedParams,
    "RootsListChangedNotification": types.NotificationParams,
    "SetLevelRequest": types.SetLevelParams,
    "SubscribeRequest": types.SubscribeParams,
    "SubscriptionsAcknowledgedNotification": types.SubscriptionsAcknowledgedParams,
    "SubscriptionsListenRequest": types.SubscriptionsListenParams,
    "TaskStatusNotification": types.TaskStatusParams,
    "ToolListChangedNotification": types.NotificationParams,
    "UnsubscribeRequest": types.SubscribeParams,
}

# Successful responses, by the model of their result.
RESPONSES: Dict[str, Type[WireModel]] = {
    "CallToolResultResponse": types.CallToolResult,
    "CompleteResultResponse": types.CompleteResult,
    "DiscoverResultResponse": types.DiscoverResult,
    "GetPromptResultResponse": types.GetPromptResult,
    "ListPromptsResultResponse": types.ListPromptsResult,
    "ListResourceTemplatesResultResponse": types.ListResourceTemplatesResult,
    "ListResourcesResultResponse": types.ListResourcesResult,
    "ListToolsResultResponse": types.ListToolsResult,
    "ReadResourceResultResponse": types.ReadResourceResult,
    "SubscriptionsListenResultResponse": types.SubscriptionsListenResult,
}

# Error responses, by the model of the error's data.
ERROR_DATA: Dict[str, Type[WireModel]] = {
    "HeaderMismatchError": WireModel,
    "MissingRequiredClientCapabilityError": types.MissingClientCapabilityData,
    "URLElicitationRequiredError": types.URLElicitationRequiredData,
    "UnsupportedProtocolVersionError": types.UnsupportedProtocolVersionData,
}

SCALAR = "a string or a number; a plain field of each model"
RAW = "part of a JSON Schema, and schemas stay raw dicts"
JSON = "any JSON; stays raw"
META = "_meta stays a raw dict in every model"
PARENT = "only a parent of others, whose models have its fields"
UNION = "a union; each of its members has a model"
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
        kind = InputRequiredResult if message["result"].get("resultType") == "input_required" else model
        return {**message, "result": kind.model_validate(message["result"]).to_wire()}

    return read


def _error(model: Type[WireModel]) -> Reader:
    def read(message: Any) -> Any:
        error = ErrorObject.model_validate(message["error"])
        wire = error.to_wire()
        if isinstance(error.data, dict):
            wire["data"] = model.model_validate(error.data).to_wire()
        return {**message, "error": wire}

    return read


def _input_requests(value: Any) -> Any:
    return {key: InputRequest.model_validate(request).to_wire() for key, request in value.items()}


READERS: Dict[str, Reader] = {
    **{name: _through(model) for name, model in MODELS.items()},
    **{name: _params(model) for name, model in PARAMS.items()},
    **{name: _response(model) for name, model in RESPONSES.items()},
    **{name: _error(model) for name, model in ERROR_DATA.items()},
    "ContentBlock": _adapted(types.ContentBlock),
    "InputRequests": _input_requests,
    "SamplingMessageContentBlock": _adapted(types.SamplingContent),
}
