"""The hotel service over HTTP."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter

from chassis.service import Service
from chassis.web.access import PUBLIC, SIGNED_IN
from chassis.web.actions import records
from chassis.web.schemas import Body, View, created, refusals
from hotel import store
from hotel.commands import AddHotel
from hotel.unit_of_work import HotelUnitOfWork
from saga.errors import NotFound

HotelService = NamedDependency[Service[HotelUnitOfWork]]
HotelId = Annotated[UUID, PathParameter(name="hotelId")]


class NewHotel(Body):
    rooms: Annotated[int, msgspec.Meta(ge=0, le=1000)]


class HotelView(View):
    hotel_id: str
    rooms: int
    free: int


class HotelController(Controller):
    path = "/hotels"
    tags = ("hotels",)

    @post(
        summary="Add a hotel",
        guards=[SIGNED_IN],
        opt=records("HOTEL_ADD", on="hotelId"),
        responses=refusals(body=True),
    )
    async def add(self, data: JSONBody[NewHotel], service: HotelService) -> Response[HotelView]:
        command = AddHotel(hotel_id=service.new_id(), rooms=data.rooms)
        hotel = (await service.ask(command)).result
        return created(HotelView.of(hotel), f"/hotels/{hotel.hotel_id}")

    @get("/{hotelId:str}", summary="One hotel", guards=[PUBLIC], responses=refusals(404))
    async def read(self, hotel_id: HotelId, service: HotelService) -> HotelView:
        async with service.reading() as connection:
            hotel = await store.find_hotel(connection, str(hotel_id))
        if hotel is None:
            raise NotFound(f"there is no hotel {hotel_id}", code="HOTEL_NOT_FOUND")
        return HotelView.of(hotel)


ROUTES = [HotelController]
