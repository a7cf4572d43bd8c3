"""The generated package: importable as a whole, and true to the sources."""

import importlib
import pkgutil
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

import flow2api_proto
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.generation.v1 import generation_service_pb2
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2

SOURCES = Path(__file__).parents[1]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(flow2api_proto.__path__, "flow2api_proto.")
    if module.name.endswith(("_pb2", "_pb2_grpc"))
)


@pytest.mark.parametrize("name", MODULES)
def test_every_stub_imports_without_the_source_tree(name: str):
    assert importlib.import_module(name).__name__ == name


def test_every_source_has_its_stub():
    sources = {path.relative_to(SOURCES / "flow2api").with_suffix("") for path in SOURCES.glob("flow2api/**/*.proto")}
    assert sources
    for source in sources:
        module = importlib.import_module("flow2api_proto." + ".".join(source.parts) + "_pb2")
        description = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        assert description.package == f"flow2api.{'.'.join(source.parts[:-1])}"


@pytest.mark.parametrize("service_module", [generation_service_pb2, token_service_pb2])
def test_no_two_methods_share_a_request_or_response(service_module):
    (service,) = service_module.DESCRIPTOR.services_by_name.values()
    inputs = [method.input_type.full_name for method in service.methods]
    outputs = [method.output_type.full_name for method in service.methods]
    assert len(set(inputs)) == len(inputs)
    assert len(set(outputs)) == len(outputs)


def test_a_poll_message_carries_its_lease_through_the_wire():
    lease = token_pb2.Lease(lease_id="l1", token_id=7, kind=token_pb2.KIND_VIDEO, upstream_model="veo")
    sent = video_events_pb2.PollVideo(video_id="video_1", provider="flow", lease=lease, operation_handle='{"v":1}')
    received = video_events_pb2.PollVideo.FromString(sent.SerializeToString())
    assert received.lease == lease
    assert received.operation_handle == '{"v":1}'
