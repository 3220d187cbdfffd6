"""Which tests prove which row of the catalogue of faults, and over which transports.

Used by test_rows.py, which fails when a row has no test, or none over a transport where the fault can happen.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ROWS", "Row"]


class Row(NamedTuple):
    """One row.

    Parameters:
        over: the transports where it can happen.
        tests: ``file::name``, the file below tests/, both without ``test_``. Where a test does not show by itself over
            which transports it runs, they follow after an ``@``.
        absent: why there is nothing to test.
    """

    section: str
    name: str
    over: tuple[str, ...]
    tests: tuple[str, ...]
    absent: str = ""


ROWS: tuple[Row, ...] = (
    # Rules
    Row(
        "Rules",
        "1 no wait without a bound",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::a_call_without_an_answer_ends_at_its_deadline_and_is_cancelled",
            "faults/every_transport::pings_and_progress_do_not_extend_the_deadline",
            "faults/every_connection::a_head_that_trickles_in_does_not_extend_the_deadline",
            "faults/time::the_deadline_covers_the_opening_of_the_session",
            "transports/stdio/transport::ten_megabytes_to_a_server_that_stops_reading_end_at_the_deadline",
        ),
    ),
    Row(
        "Rules",
        "2 never send a tool call twice",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::a_call_whose_carrier_breaks_may_have_run_and_is_not_sent_again",
            "faults/http::a_forgotten_session_is_told_when_the_call_may_not_be_repeated",
            "transports/streamable_http/sessions::a_tool_that_may_not_run_twice_is_refused_once",
            "faults/soak::no_call_is_made_twice_or_answered_with_anothers_result_whatever_breaks",
        ),
    ),
    Row(
        "Rules",
        "3 one call's fault is one call's fault",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::one_of_eight_calls_reset_leaves_seven_answers",
            "faults/every_transport::one_of_eight_calls_answered_badly_leaves_seven_answers",
        ),
    ),
    Row(
        "Rules",
        "4 a lost stream wakes everyone at once",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::a_lost_stream_wakes_everyone_at_once_each_with_an_error_of_its_own",
            "faults/every_transport::a_call_whose_carrier_breaks_may_have_run_and_is_not_sent_again",
            "faults/midstream::a_server_that_ends_every_session_is_approached_ever_more_slowly",
            "faults/midstream::a_lost_stream_is_opened_again_with_subscriptions_and_log_level",
        ),
    ),
    Row(
        "Rules",
        "5 a cut frame is never a result",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::a_frame_that_is_cut_off_is_never_a_result",
            "faults/every_transport::an_answer_to_another_id_is_never_the_result",
            "transports/streamable_http/answers::the_answer_to_another_id_on_a_posts_own_stream_is_nobodys",
            "faults/every_connection::a_body_longer_than_its_length_is_never_the_answer_to_the_next_call",
        ),
    ),
    Row(
        "Rules",
        "6 everything a server can send is bounded",
        ("sse", "http", "stdio"),
        (
            "faults/every_connection::100_megabytes_without_a_line_end_are_refused_within_bounds",
            "faults/every_connection::interim_responses_without_end_are_bounded",
            "faults/every_transport::pages_without_end_are_stopped_and_share_one_deadline",
            "faults/server_requests::2_000_requests_at_once_meet_bounds_and_pings_pass_them",
            "faults/failures_table::the_limits_are_those_of_the_code",
        ),
    ),
    Row(
        "Rules",
        "7 close()",
        ("sse", "http", "stdio"),
        (
            "faults/lifecycle::close_wakes_everyone_who_waits",
            "faults/lifecycle::close_may_be_called_twice_and_by_many",
            "faults/lifecycle::close_while_connecting_ends_the_attempt",
            "faults/lifecycle::a_handler_may_close_the_client",
        ),
    ),
    Row(
        "Rules",
        "8 nothing is left behind",
        ("sse", "http", "stdio"),
        (
            "faults/lifecycle::clients_that_come_and_go_leave_nothing",
            "faults/lifecycle::a_dropped_client_is_collected_with_a_warning_and_leaves_nothing",
            "faults/process::a_script_that_forgets_to_close_exits_at_once_with_its_own_code",
            "faults/every_rules::a_dropped_client_is_collected_with_a_warning_and_leaves_nothing",
            "faults/every_rules::a_script_that_forgets_to_close_exits_at_once_with_its_own_code",
        ),
    ),
    Row(
        "Rules",
        "9 fork is safe",
        ("sse", "http", "stdio"),
        (
            "faults/process::a_forked_child_opens_a_session_of_its_own_and_leaves_the_parents_alone",
            "faults/every_rules::a_forked_child_has_a_session_of_its_own_and_leaves_the_parents_alone",
        ),
    ),
    Row(
        "Rules",
        "10 Ctrl-C is a plain KeyboardInterrupt",
        ("sse", "http", "stdio"),
        ("faults/lifecycle::ctrl_c_in_a_call_is_a_plain_keyboard_interrupt",),
    ),
    Row(
        "Rules",
        "11 user code never runs on the reader",
        ("sse", "http", "stdio"),
        (
            "faults/server_requests::what_a_server_asks_during_a_call_is_answered_on_a_worker",
            "faults/server_requests::a_handler_that_raises_or_returns_rubbish_is_an_internal_error_without_its_text",
            "faults/server_requests::a_handler_may_call_the_client_again",
        ),
    ),
    Row(
        "Rules",
        "12 secrets stay put",
        ("sse", "http", "stdio"),
        (
            "faults/secrets::no_secret_is_in_an_error_a_repr_a_warning_or_a_log",
            "faults/secrets::a_stdio_servers_environment_and_arguments_are_shown_nowhere@stdio",
            "faults/attacks::what_a_server_says_reaches_no_traceback_warning_or_log_unescaped",
        ),
    ),
    # Connect
    Row(
        "Connect",
        "refused",
        ("sse", "http", "stdio"),
        (
            "faults/every_connection::a_server_that_is_not_there_is_told_at_once",
            "transports/stdio/transport::a_path_that_is_not_there",
        ),
    ),
    Row(
        "Connect",
        "SYN unanswered",
        ("sse", "http"),
        ("faults/every_connection::a_syn_without_answer_ends_at_the_connect_timeout",),
    ),
    Row(
        "Connect",
        "accepted, silent",
        ("sse", "http", "stdio"),
        (
            "faults/every_connection::a_server_that_accepts_and_is_silent_ends_at_the_deadline",
            "faults/handshake::a_handshake_that_fails_is_told_and_leaves_nothing_open",
        ),
    ),
    Row(
        "Connect",
        "RST / FIN on accept",
        ("sse", "http"),
        ("faults/every_connection::a_connection_that_ends_on_accept_is_told_at_once_and_not_hammered",),
    ),
    Row(
        "Connect",
        "TLS self-signed, wrong host, expired",
        ("sse", "http"),
        ("faults/every_connection::a_certificate_that_does_not_hold_ends_before_a_request",),
    ),
    Row(
        "Connect",
        "DNS failure, many A records, ::1 dead",
        ("sse", "http"),
        (
            "faults/connect::a_host_that_is_not_found_is_told@sse,http",
            "faults/connect::a_look_up_that_hangs_ends_at_the_connect_timeout@sse,http",
            "faults/connect::the_connect_timeout_covers_all_addresses_together@sse,http",
            "faults/connect::localhost_falls_through_from_ipv6_to_ipv4@sse,http",
        ),
    ),
    Row(
        "Connect",
        "header every 0.5 s",
        ("sse", "http"),
        (
            "faults/every_connection::a_head_that_trickles_in_does_not_extend_the_deadline",
            "faults/connect::header_lines_that_trickle_in_do_not_extend_the_deadline",
        ),
    ),
    Row(
        "Connect",
        "headers cut by FIN",
        ("sse", "http"),
        (
            "faults/every_connection::a_head_that_is_cut_off_is_not_taken_for_an_answer",
            "faults/connect::a_head_that_was_cut_off_is_not_taken_for_an_answer",
        ),
    ),
    # Handshake
    Row("Handshake", "no endpoint event", ("sse",), ("faults/handshake::no_endpoint_event_ends_at_the_deadline",)),
    Row("Handshake", "... but pings", ("sse",), ("faults/handshake::pings_do_not_extend_the_wait_for_the_endpoint",)),
    Row(
        "Handshake",
        "stream ends first",
        ("sse",),
        ("faults/handshake::a_stream_that_ends_before_the_endpoint_says_so",),
    ),
    Row("Handshake", "BOM first", ("sse",), ("faults/handshake::a_byte_order_mark_does_not_hide_the_endpoint",)),
    Row(
        "Handshake",
        "endpoint empty / file: / foreign / //h / user@",
        ("sse",),
        ("faults/handshake::an_endpoint_of_another_origin_is_refused_before_a_byte_goes_there",),
    ),
    Row(
        "Handshake",
        "initialize silent / error / unknown version / {}",
        ("sse", "http", "stdio"),
        ("faults/handshake::a_handshake_that_fails_is_told_and_leaves_nothing_open",),
    ),
    Row(
        "Handshake",
        "GET 401/403/404/429/500, HTML 200",
        ("sse", "http"),
        (
            "faults/handshake::an_error_status_on_the_stream_is_final_and_quoted_briefly",
            "faults/handshake::a_page_instead_of_a_stream_is_a_handshake_error",
            "transports/streamable_http/get_stream::a_server_without_one_is_asked_once_and_nobody_hears_of_it",
            "transports/streamable_http/get_stream::a_200_that_is_no_stream_is_no_stream",
            "faults/every_connection::what_no_credentials_satisfy_is_told_and_not_tried_again",
        ),
    ),
    # Mid-stream
    Row(
        "Mid-stream",
        "never answered",
        ("sse", "http", "stdio"),
        ("faults/every_transport::a_call_without_an_answer_ends_at_its_deadline_and_is_cancelled",),
    ),
    Row(
        "Mid-stream",
        "never answered, pings",
        ("sse", "http", "stdio"),
        ("faults/every_transport::pings_and_progress_do_not_extend_the_deadline",),
    ),
    Row(
        "Mid-stream",
        "stream ends / FIN / RST, call pending",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::a_call_whose_carrier_breaks_may_have_run_and_is_not_sent_again",
            "faults/every_transport::a_lost_stream_wakes_everyone_at_once_each_with_an_error_of_its_own",
            "faults/midstream::a_server_that_ends_every_session_is_approached_ever_more_slowly",
        ),
    ),
    Row(
        "Mid-stream",
        "cut frame at EOF, whole JSON",
        ("sse", "http", "stdio"),
        ("faults/every_transport::a_frame_that_is_cut_off_is_never_a_result",),
    ),
    Row(
        "Mid-stream",
        "half a frame",
        ("sse", "http", "stdio"),
        ("faults/every_transport::a_frame_that_is_cut_off_is_never_a_result",),
    ),
    Row(
        "Mid-stream",
        "first call cut, second would work",
        ("sse", "http", "stdio"),
        ("faults/every_transport::a_call_whose_carrier_breaks_may_have_run_and_is_not_sent_again",),
    ),
    Row(
        "Mid-stream",
        "one of 8 calls reset",
        ("sse", "http"),
        ("faults/every_transport::one_of_eight_calls_reset_leaves_seven_answers",),
    ),
    Row(
        "Mid-stream",
        "half-open link",
        ("sse", "http"),
        (
            "faults/half_open::an_idle_stream_that_has_died_is_noticed_and_the_next_call_opens_another",
            "faults/half_open::a_call_on_a_link_that_has_died_ends_at_its_deadline_and_close_does_not_wait",
            "faults/half_open::a_peer_that_cannot_be_reached_any_more_is_found_by_keepalive",
            "faults/midstream::a_dead_peer_is_found_by_keepalive",
        ),
    ),
    Row(
        "Mid-stream",
        "GET: retry:0 and end, again and again",
        ("sse", "http"),
        (
            "faults/midstream::a_server_that_ends_every_session_is_approached_ever_more_slowly",
            "transports/streamable_http/get_stream::retry_0_and_the_end_again_and_again_is_no_storm",
            "transports/streamable_http/resumption::a_stream_that_primes_and_ends_again_and_again_is_given_up",
        ),
    ),
    Row(
        "Mid-stream",
        "resume with id",
        ("http",),
        (
            "transports/streamable_http/resumption::a_stream_that_ends_early_is_resumed_by_get_and_the_call_is_not_sent_again",
        ),
    ),
    Row(
        "Mid-stream",
        "idle keep-alive closed",
        ("sse", "http"),
        ("faults/every_transport::an_idle_connection_that_the_server_closed_costs_no_call",),
    ),
    # Framing
    Row(
        "Framing",
        "1-byte chunks",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::the_answer_is_the_same_in_pieces_of_any_size",
            "transports/sse::the_same_result_byte_by_byte",
        ),
    ),
    Row(
        "Framing",
        "UTF-8 split over chunks",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::the_answer_is_the_same_in_pieces_of_any_size",
            "transports/sse::the_same_result_whatever_the_position_of_a_split",
        ),
    ),
    Row(
        "Framing",
        "CR, CRLF, CRLF split over chunks",
        ("sse", "http", "stdio"),
        (
            "faults/framing::the_answer_is_the_same_however_its_bytes_come",
            "transports/streamable_http/answers::an_answer_is_taken_in_every_form_that_servers_give_it",
            "transports/sse::it_agrees_with_the_standard_on_anything",
            "transports/stdio/transport::blank_lines_crlf_and_a_byte_order_mark_are_tolerated",
        ),
    ),
    Row(
        "Framing",
        "100 MB without newline",
        ("sse", "http", "stdio"),
        ("faults/every_connection::100_megabytes_without_a_line_end_are_refused_within_bounds",),
    ),
    Row(
        "Framing",
        "valid 8 MB event",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::an_answer_of_eight_megabytes_is_no_matter",
            "transports/sse::an_event_of_eight_megabytes_takes_less_than_a_second",
        ),
    ),
    Row(
        "Framing",
        "unknown fields, no colon, no space",
        ("sse", "http"),
        ("transports/sse::it_reads_what_the_standard_says@sse,http",),
    ),
    Row(
        "Framing",
        "NUL in id; retry garbage",
        ("sse", "http"),
        ("transports/sse::it_reads_what_the_standard_says@sse,http",),
    ),
    Row(
        "Framing",
        "pretty-printed JSON over data lines; no event field",
        ("sse", "http"),
        (
            "faults/framing::the_answer_is_the_same_however_its_bytes_come",
            "transports/streamable_http/answers::an_answer_is_taken_in_every_form_that_servers_give_it",
        ),
    ),
    Row(
        "Framing",
        "EOF-delimited body",
        ("sse", "http"),
        (
            "faults/framing::an_event_on_a_stream_without_chunks_is_there_at_once",
            "transports/streamable_http/answers::an_answer_is_taken_in_every_form_that_servers_give_it",
        ),
    ),
    Row(
        "Framing",
        "gzip on the stream",
        ("sse", "http"),
        (
            "faults/framing::the_stream_is_asked_for_without_compression",
            "faults/framing::a_stream_that_is_compressed_all_the_same_is_read",
            "faults/framing::a_stream_that_is_a_gzip_bomb_ends_the_call",
            "transports/streamable_http/answers::a_gzip_bomb_is_an_error_and_costs_little",
        ),
    ),
    # JSON-RPC
    Row(
        "JSON-RPC",
        "not JSON",
        ("sse", "http", "stdio"),
        ("faults/every_transport::what_is_not_json_is_skipped_or_the_error_of_the_call_on_whose_stream_it_came",),
    ),
    Row(
        "JSON-RPC",
        "jsonrpc missing/1.0; neither result nor error; both",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::an_answer_of_a_wrong_shape_is_that_calls_error_at_once",
            "faults/every_transport::an_answer_with_result_and_error_is_an_error",
        ),
    ),
    Row(
        "JSON-RPC",
        'id "3" for 3; 3.0; true',
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::an_id_that_comes_back_in_another_spelling_is_ours",
            "faults/every_transport::an_answer_to_another_id_is_never_the_result",
        ),
    ),
    Row("JSON-RPC", "batch", ("sse", "http", "stdio"), ("faults/every_transport::a_batch_is_taken_apart",)),
    Row(
        "JSON-RPC",
        "20 000 notifications; slow consumer",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::20_000_notifications_and_a_handler_that_stands_still_do_not_hold_the_answer_up",
            "faults/every_transport::a_reader_who_stands_still_loses_the_oldest_events_and_never_the_result",
        ),
    ),
    Row(
        "JSON-RPC",
        "answers reversed, 64 in flight",
        ("sse", "http", "stdio"),
        ("faults/every_transport::64_answers_in_reverse_go_to_their_own_callers",),
    ),
    # HTTP
    Row(
        "HTTP",
        "POST 400/401/403/404/409/429/500/503",
        ("sse", "http"),
        (
            "faults/http::an_error_status_is_that_calls_error_at_once_and_nothing_is_sent_again",
            "transports/streamable_http/answers::an_error_status_is_that_calls_error_and_nothing_is_sent_again",
            "faults/http::retry_after_is_told_as_seconds_within_bounds",
        ),
    ),
    Row(
        "HTTP",
        "session 404",
        ("sse", "http"),
        (
            "faults/http::a_forgotten_session_is_told_when_the_call_may_not_be_repeated",
            "faults/http::callers_who_meet_a_forgotten_session_together_open_one_new_one",
            "transports/streamable_http/sessions::a_tool_that_may_not_run_twice_is_refused_once",
            "transports/streamable_http/sessions::callers_who_meet_it_together_open_one_new_session",
        ),
    ),
    Row(
        "HTTP",
        "202 to a request; 200 text/html",
        ("sse", "http"),
        (
            "transports/streamable_http/answers::a_202_to_a_request_is_an_error_at_once",
            "transports/streamable_http/answers::what_is_no_answer_is_that_calls_error_at_once",
            "faults/failures_table::a_row_says_what_happens",
        ),
    ),
    Row(
        "HTTP",
        "redirect same origin / other origin / loop",
        ("sse", "http"),
        (
            "faults/http::a_redirect_of_the_same_origin_keeps_method_and_body",
            "faults/http::a_redirect_to_another_origin_is_not_followed",
            "faults/http::redirects_in_a_circle_are_bounded",
            "transports/streamable_http/sessions::a_redirect_within_the_origin_keeps_method_body_and_headers",
            "transports/streamable_http/sessions::nothing_is_sent_to_another_origin",
        ),
    ),
    Row(
        "HTTP",
        "gzip bomb",
        ("sse", "http"),
        (
            "faults/framing::a_stream_that_is_a_gzip_bomb_ends_the_call",
            "transports/streamable_http/answers::a_gzip_bomb_is_an_error_and_costs_little",
        ),
    ),
    Row(
        "HTTP",
        "slow body, short body",
        ("sse", "http"),
        (
            "faults/every_connection::a_body_shorter_than_its_length_is_a_lost_connection",
            "faults/every_transport::pings_and_progress_do_not_extend_the_deadline",
            "transports/streamable_http/calls::a_call_ends_at_its_deadline_whatever_drips_in_and_is_cancelled",
        ),
    ),
    Row(
        "HTTP",
        "DELETE unanswered",
        ("http",),
        ("transports/streamable_http/answers::an_unanswered_delete_does_not_hold_close_up",),
    ),
    Row(
        "HTTP",
        "GET 405",
        ("http",),
        ("transports/streamable_http/get_stream::a_server_without_one_is_asked_once_and_nobody_hears_of_it",),
    ),
    Row(
        "HTTP",
        "interim responses",
        ("sse", "http"),
        (
            "faults/every_connection::interim_responses_are_passed_over",
            "faults/every_connection::interim_responses_without_end_are_bounded",
        ),
    ),
    Row(
        "HTTP",
        "answer before the body was read",
        ("sse", "http"),
        ("faults/every_connection::an_answer_before_the_body_was_read_is_that_calls_error",),
    ),
    # Server-initiated requests
    Row(
        "Server-initiated requests",
        "sampling/roots/ping during a call",
        ("sse", "http", "stdio"),
        ("faults/server_requests::what_a_server_asks_during_a_call_is_answered_on_a_worker",),
    ),
    Row(
        "Server-initiated requests",
        "handler calls the client again",
        ("sse", "http", "stdio"),
        ("faults/server_requests::a_handler_may_call_the_client_again",),
    ),
    Row(
        "Server-initiated requests",
        "handler sleeps 10 s / raises / returns rubbish / BaseException",
        ("sse", "http", "stdio"),
        (
            "faults/server_requests::a_handler_that_takes_its_time_holds_nobody_up",
            "faults/server_requests::a_handler_that_raises_or_returns_rubbish_is_an_internal_error_without_its_text",
        ),
    ),
    Row(
        "Server-initiated requests",
        "unknown method; undeclared capability",
        ("sse", "http", "stdio"),
        ("faults/server_requests::what_was_not_declared_is_refused_at_once",),
    ),
    Row(
        "Server-initiated requests",
        "2 000 requests at once",
        ("sse", "http", "stdio"),
        (
            "faults/server_requests::2_000_requests_at_once_meet_bounds_and_pings_pass_them",
            "faults/server_requests::a_flood_of_requests_meets_bounds_and_pings_pass_it",
        ),
    ),
    # Concurrency and lifecycle
    Row(
        "Concurrency and lifecycle",
        "64 threads x slow",
        ("sse", "http", "stdio"),
        ("faults/lifecycle::64_threads_each_get_their_own_answer_at_the_same_time",),
    ),
    Row(
        "Concurrency and lifecycle",
        "close() with waiters; twice; from the reader/handler; while connecting",
        ("sse", "http", "stdio"),
        (
            "faults/lifecycle::close_wakes_everyone_who_waits",
            "faults/lifecycle::close_may_be_called_twice_and_by_many",
            "faults/lifecycle::a_handler_may_close_the_client",
            "faults/lifecycle::close_while_connecting_ends_the_attempt",
        ),
    ),
    Row(
        "Concurrency and lifecycle",
        "KeyboardInterrupt in the wait",
        ("sse", "http", "stdio"),
        ("faults/lifecycle::ctrl_c_in_a_call_is_a_plain_keyboard_interrupt",),
    ),
    Row(
        "Concurrency and lifecycle",
        "thread cannot start",
        ("sse", "http", "stdio"),
        ("faults/lifecycle::without_a_thread_to_give_it_is_a_connection_error_or_no_matter",),
    ),
    Row(
        "Concurrency and lifecycle",
        "weird callers",
        ("sse",),
        (
            "faults/lifecycle::it_works_from_asyncio_to_thread",
            "client::connecting_in_a_running_event_loop_warns_and_works",
        ),
    ),
    # Process
    Row(
        "Process",
        "fork after connect",
        ("sse", "http", "stdio"),
        (
            "faults/process::a_forked_child_opens_a_session_of_its_own_and_leaves_the_parents_alone",
            "faults/process::a_pool_of_forked_workers_has_a_session_each",
            "transports/stdio/transport::a_forked_process_leaves_its_parents_server_alone",
            "faults/every_rules::a_forked_child_has_a_session_of_its_own_and_leaves_the_parents_alone",
        ),
    ),
    Row(
        "Process",
        "fork while another thread holds our lock",
        ("sse",),
        ("faults/process::fork_while_other_threads_are_inside_never_hangs",),
    ),
    Row(
        "Process",
        "interpreter exit, client open",
        ("sse", "http", "stdio"),
        ("faults/every_rules::a_script_that_forgets_to_close_exits_at_once_with_its_own_code",),
    ),
    Row(
        "Process",
        "dropped, unclosed",
        ("sse", "http", "stdio"),
        ("faults/every_rules::a_dropped_client_is_collected_with_a_warning_and_leaves_nothing",),
    ),
    Row(
        "Process",
        "os._exit, SIGKILL, kill -STOP then CONT",
        ("sse", "http", "stdio"),
        (
            "faults/process::a_script_that_is_killed_harms_the_server_only",
            "faults/process::a_process_that_was_stopped_keeps_its_deadline_by_the_monotonic_clock",
            "faults/every_connection::a_process_that_stands_still_costs_the_deadline_and_no_more",
        ),
    ),
    Row("Process", "uWSGI without enable-threads", ("sse",), ("faults/process::without_threads_the_reason_is_named",)),
    # stdio
    Row(
        "stdio",
        "child dies",
        ("stdio",),
        (
            "transports/stdio/transport::the_loss_says_the_exit_code_and_the_last_of_stderr",
            "faults/every_transport::a_call_whose_carrier_breaks_may_have_run_and_is_not_sent_again",
        ),
    ),
    Row(
        "stdio",
        "cannot start; exits at once; prints usage",
        ("stdio",),
        ("transports/stdio/transport::a_path_that_is_not_there", "transports/stdio/transport::usage_and_exit_at_once"),
    ),
    Row("stdio", "stderr flood", ("stdio",), ("transports/stdio/transport::a_flood_of_stderr_is_drained",)),
    Row("stdio", "noise on stdout", ("stdio",), ("transports/stdio/transport::noise_is_skipped_and_warned_of_once",)),
    Row(
        "stdio",
        "100 MB line",
        ("stdio",),
        (
            "transports/stdio/transport::a_line_of_100_megabytes_is_over_the_limit_and_ends_the_server",
            "faults/every_connection::100_megabytes_without_a_line_end_are_refused_within_bounds",
        ),
    ),
    Row(
        "stdio",
        "ignores SIGTERM / stdin close",
        ("stdio",),
        (
            "transports/stdio/transport::close_kills_a_server_that_ignores_everything",
            "faults/every_connection::a_process_that_stands_still_does_not_hold_close_up",
        ),
    ),
    Row(
        "stdio",
        "fds inherited by the child; SIGINT goes to the child too",
        ("stdio",),
        (
            "transports/stdio/transport::a_child_has_its_own_session_and_none_of_our_descriptors",
            "transports/stdio/transport::ctrl_c_does_not_reach_the_server",
        ),
    ),
    # Time
    Row(
        "Time",
        "wall clock jumps",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::a_wall_clock_that_jumps_has_no_effect",
            "faults/time::no_timeout_is_read_off_the_wall_clock",
        ),
    ),
    Row(
        "Time",
        "suspend / NAT drop",
        ("sse", "http"),
        (
            "faults/half_open::a_peer_that_cannot_be_reached_any_more_is_found_by_keepalive",
            "faults/half_open::who_listens_on_a_stream_that_has_died_hears_the_next_change",
            "faults/midstream::a_dead_peer_is_found_by_keepalive",
        ),
    ),
    Row(
        "Time",
        "timeout=0, negative, inf, None, 1e10",
        ("sse", "http", "stdio"),
        (
            "faults/every_transport::a_timeout_of_zero_is_over_before_anything_is_sent",
            "faults/every_transport::what_is_no_number_of_seconds_is_a_value_error",
            "faults/every_transport::a_timeout_of_any_size_is_waited_out",
            "faults/every_transport::a_timeout_of_none_is_the_clients_own",
        ),
    ),
    Row(
        "Time",
        "progress resets the deadline?",
        ("sse", "http", "stdio"),
        ("faults/every_transport::pings_and_progress_do_not_extend_the_deadline",),
    ),
    # Attacks
    Row(
        "Attacks",
        "endpoint event to another origin",
        ("sse",),
        (
            "faults/handshake::an_endpoint_of_another_origin_is_refused_before_a_byte_goes_there",
            "faults/handshake::the_first_endpoint_stays",
            "faults/handshake::a_session_name_cannot_lead_to_another_origin",
            "protocol/urls::whatever_the_endpoint_says_it_stays_at_its_origin",
        ),
    ),
    Row(
        "Attacks",
        "redirect leaks credentials",
        ("sse", "http"),
        (
            "faults/attacks::credentials_are_not_sent_to_the_host_that_a_redirect_names",
            "transports/streamable_http/sessions::nothing_is_sent_to_another_origin",
        ),
    ),
    Row(
        "Attacks",
        "netrc",
        ("sse", "http"),
        (
            "faults/every_connection::netrc_counts_only_where_nothing_is_given_and_the_environment_is_trusted",
            "faults/attacks::what_is_given_wins_over_netrc",
        ),
    ),
    Row(
        "Attacks",
        "proxy from the environment",
        ("sse", "http"),
        (
            "faults/every_connection::a_proxy_of_the_environment_is_used_only_where_the_environment_is_trusted",
            "faults/attacks::a_token_to_another_host_without_encryption_warns",
        ),
    ),
    Row(
        "Attacks",
        "CA bundle from the environment",
        ("sse", "http"),
        ("faults/every_connection::the_authority_that_is_pinned_wins_over_the_environments",),
    ),
    Row(
        "Attacks",
        "TLS: self-signed, wrong host, expired; verify=False",
        ("sse", "http"),
        (
            "faults/every_connection::a_certificate_that_does_not_hold_ends_before_a_request",
            "faults/attacks::certificates_are_checked_unless_that_is_switched_off_aloud",
        ),
    ),
    Row(
        "Attacks",
        "secrets in logs and errors",
        ("sse", "http", "stdio"),
        (
            "faults/secrets::no_secret_is_in_an_error_a_repr_a_warning_or_a_log",
            "faults/secrets::a_stdio_servers_environment_and_arguments_are_shown_nowhere@stdio",
            "faults/attacks::arguments_and_results_are_not_logged",
        ),
    ),
    Row(
        "Attacks",
        "session hijack",
        ("sse", "http"),
        (
            "faults/secrets::a_session_id_is_in_no_error_and_no_log_and_gone_with_its_session",
            "faults/attacks::a_session_id_is_in_no_error_and_no_log",
            "transports/streamable_http/sessions::nothing_is_sent_to_another_origin",
        ),
    ),
    Row(
        "Attacks",
        "terminal escapes",
        ("sse", "http", "stdio"),
        (
            "faults/attacks::what_a_server_says_reaches_no_repr_or_error_unescaped",
            "faults/attacks::what_a_server_says_reaches_no_traceback_warning_or_log_unescaped",
            "protocol/escape::nothing_is_left_that_drives_a_terminal_or_turns_the_reading_around",
            "protocol/types::no_repr_has_a_raw_control_character",
        ),
    ),
    Row(
        "Attacks", "HTML in Jupyter", ("sse", "http", "stdio"), ("faults/rows::nothing_here_makes_html@sse,http,stdio",)
    ),
    Row(
        "Attacks",
        "$ref to network or file",
        ("sse", "http", "stdio"),
        ("faults/attacks::nothing_is_fetched_because_a_server_refers_to_it@sse,http,stdio",),
    ),
    Row(
        "Attacks",
        "memory",
        ("sse", "http", "stdio"),
        (
            "faults/every_connection::100_megabytes_without_a_line_end_are_refused_within_bounds",
            "faults/attacks::a_million_tools_meet_a_limit",
            "faults/every_transport::pages_without_end_are_stopped_and_share_one_deadline",
            "faults/connect::headers_without_end_are_bounded",
        ),
    ),
    Row(
        "Attacks",
        "CPU",
        ("sse", "http", "stdio"),
        (
            "transports/sse::its_time_grows_in_line_with_the_input",
            "transports/sse::an_event_of_64_megabytes_takes_less_than_five_seconds@sse,http",
            "transports/stdio/transport::cutting_lines_takes_linear_time",
        ),
    ),
    Row(
        "Attacks",
        "unsafe deserialization",
        ("sse", "http", "stdio"),
        (
            "architecture::nothing_a_server_sends_can_be_run_opened_or_unpickled@sse,http,stdio",
            "faults/attacks::base64_is_read_strictly",
        ),
    ),
    Row(
        "Attacks",
        "blob/resource written to disk; path traversal in a URI",
        ("sse", "http", "stdio"),
        ("faults/attacks::a_path_in_an_uri_touches_no_file", "protocol/types::save_never_picks_a_name"),
    ),
    Row("Attacks", "OAuth mix-up", (), (), "there is no OAuth here yet"),
    Row("Attacks", "resource mismatch", (), (), "there is no OAuth here yet"),
    Row("Attacks", "PKCE downgrade", (), (), "there is no OAuth here yet"),
    Row("Attacks", "redirect URI / state", (), (), "there is no OAuth here yet"),
    Row("Attacks", "authorization URL javascript:, file:, shell metacharacters", (), (), "there is no OAuth here yet"),
    Row("Attacks", "tokens at rest and across servers", (), (), "there is no OAuth here yet"),
    Row(
        "Attacks",
        "stdio environment",
        ("stdio",),
        (
            "transports/stdio/transport::the_environment_is_an_allow_list_and_what_is_given",
            "faults/secrets::a_stdio_servers_environment_and_arguments_are_shown_nowhere@stdio",
        ),
    ),
    Row(
        "Attacks",
        "stdio command injection",
        ("stdio",),
        (
            "transports/stdio/transport::arguments_arrive_as_they_are",
            "transports/stdio/transport::windows_batch_files_get_no_arguments_that_their_shell_reads",
        ),
    ),
    Row(
        "Attacks",
        "sampling / elicitation / roots as an attack",
        ("sse", "http", "stdio"),
        (
            "faults/server_requests::what_was_not_declared_is_refused_at_once",
            "faults/attacks::nothing_is_declared_that_no_handler_was_given_for",
            "session/handlers::a_url_elicitation_is_shown_and_has_no_content",
        ),
    ),
    Row(
        "Attacks",
        "tool list changed under the caller, name shadowing over servers",
        ("sse", "http", "stdio"),
        (
            "faults/attacks::a_tool_that_changes_under_its_name_is_noticed_by_its_fingerprint",
            "protocol/types::a_tool_that_changes_under_its_name_has_another_fingerprint",
        ),
    ),
    Row(
        "Attacks",
        "supply",
        ("sse", "http", "stdio"),
        (
            "faults/process::importing_the_package_starts_nothing_and_needs_the_core_dependencies_only@sse,http,stdio",
            "architecture::the_client_needs_only_the_core_dependencies@sse,http,stdio",
        ),
    ),
    Row(
        "Attacks",
        "secrets in pickles and copies",
        ("sse", "http", "stdio"),
        ("config::a_client_refuses_to_be_pickled_or_copied_and_says_what_to_do@sse,http,stdio",),
    ),
    Row(
        "Attacks",
        "prompt-visible errors carry internals",
        ("sse", "http", "stdio"),
        ("faults/server_requests::a_handler_that_raises_or_returns_rubbish_is_an_internal_error_without_its_text",),
    ),
)
